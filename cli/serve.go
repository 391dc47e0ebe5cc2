package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"unet/unet/serve"

	"github.com/urfave/cli/v2"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "open a page to segment, correct and teach",
		UsageText: "unet serve [FOLDER] [options]",
		Description: "Prints the address of a page on this computer that shows the images of FOLDER\n" +
			"(default: the current one): segment them, correct nuclei, teach the model with the\n" +
			"corrections. Results are written to FOLDER/unet, corrections to\n" +
			"FOLDER/unet/corrections. Nothing leaves this computer. The address contains a token:\n" +
			"whoever has it can do all this. Programs use the same interface, which\n" +
			"ADDRESS/api/v1/openapi.json describes.\n\n" +
			"--listen lets other computers in, with a certificate (--cert, --key).",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:0", Usage: "`ADDRESS` and port, such as 0.0.0.0:8443; port 0 takes any free one"},
			&cli.StringFlag{Name: "host", Usage: "comma-separated `NAMES` by which other computers know this one"},
			&cli.StringFlag{Name: "cert", Usage: "certificate `FILE` (PEM)"},
			&cli.StringFlag{Name: "key", Usage: "`FILE` of the certificate's key (PEM)"},
			&cli.BoolFlag{Name: "insecure", Usage: "let other computers in without a certificate: token and images can be read in transit"},
			&cli.StringFlag{Name: "model", Usage: "model `FILE` (default: the built-in model)"},
			&cli.StringFlag{Name: "max-memory", Usage: "use at most `SIZE`, such as 2GiB (default: half of the free memory)"},
			&cli.StringFlag{Name: "max-upload", Value: "1GiB", Usage: "largest `SIZE` of an uploaded file"},
		},
		Action: listening(runServe),
	}
}

// runServe is the command.
func runServe(c *cli.Context) error {
	t := term(c)
	secure, err := listenFlags(c)
	if err != nil {
		return err
	}
	o, err := serveOptions(c)
	if err != nil {
		return err
	}
	if o.Model, err = modelFor(c.String("model")); err != nil {
		return err
	}
	defer o.Model.Params.Free()
	if o.Engine, err = newEngine(c); err != nil {
		return err
	}
	defer o.Engine.Close()
	l, err := net.Listen("tcp", c.String("listen"))
	if err != nil {
		return err
	}
	defer l.Close()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	o.Hosts = hostNames(host, c.String("host"))
	s, err := serve.New(o)
	if err != nil {
		return err
	}
	defer s.Close()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	t.printf("%s://%s/?token=%s\n", scheme, net.JoinHostPort(shownHost(host, o.Hosts), port), o.Token)
	t.notef("open this address in a browser; Ctrl-C stops the server")
	return serveUntil(c, s, l, secure)
}

// serveOptions reads what to serve, and how much of it.
func serveOptions(c *cli.Context) (o serve.Options, err error) {
	o = serve.Options{Dir: ".", Version: version(), Token: serve.NewToken(), Chosen: c.IsSet("model"), Settings: pageSettings()}
	switch c.NArg() {
	case 0:
	case 1:
		o.Dir = c.Args().First()
	default:
		return o, usagef("%d arguments: give one folder", c.NArg())
	}
	if st, err := os.Stat(o.Dir); err != nil {
		return o, err
	} else if !st.IsDir() {
		return o, usagef("%s is a file: give a folder", o.Dir)
	}
	for name, to := range map[string]*int64{"max-memory": &o.Memory, "max-upload": &o.MaxUpload} {
		if s := c.String(name); s != "" {
			if *to, err = parseSize(s); err != nil {
				return o, usagef("--%s %s: %v", name, s, err)
			}
		}
	}
	return o, nil
}

// hostNames are the names that this computer is called by: the address it listens
// at, its own name where that is every address, and those that the user gives.
func hostNames(listen, more string) []string {
	list := []string{"127.0.0.1", "localhost", "::1", listen}
	if everyAddress(listen) {
		if name, err := os.Hostname(); err == nil {
			list = append(list, strings.ToLower(name))
		}
	}
	for name := range strings.SplitSeq(more, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// shownHost is the name of hostNames that is told to the user: the last, which is
// the most particular.
func shownHost(listen string, names []string) string {
	if last := names[len(names)-1]; last != listen || !everyAddress(listen) {
		return last
	}
	return "localhost"
}

// everyAddress reports whether an address to listen at stands for all of the
// computer.
func everyAddress(listen string) bool {
	ip := net.ParseIP(listen)
	return ip != nil && ip.IsUnspecified()
}

// placeholder is the word for the value in a flag's help.
var placeholder = regexp.MustCompile("`[^`]*`")

// shellQuoted is what a shell needs quotes for.
var shellQuoted = regexp.MustCompile(`'([^' ]+)'`)

// pageSettings describes the settings of the page in the words of `unet predict`.
func pageSettings() (list []serve.Setting) {
	flags := map[string]cli.Flag{}
	for _, f := range predictCommand().Flags {
		flags[f.Names()[0]] = f
	}
	for _, name := range serve.SettingNames {
		s := serve.Setting{Name: name, Kind: "text"}
		switch f := flags[name].(type) {
		case *cli.StringFlag:
			s.Default, s.Help, s.Group = f.Value, f.Usage, f.Category
		case *cli.Float64Flag:
			s.Kind, s.Help, s.Group = "number", f.Usage, f.Category
		case *cli.IntFlag:
			s.Kind, s.Help, s.Group = "number", f.Usage, f.Category
		case *cli.BoolFlag:
			s.Kind, s.Help, s.Group = "flag", f.Usage, f.Category
		}
		if name == "format" { // the page has more by itself
			s.Default, s.Help = strings.Join(serve.ResultFormats, ","), strings.Split(s.Help, " (default:")[0]
		}
		s.Help = placeholder.ReplaceAllStringFunc(s.Help, func(word string) string { return strings.ToLower(strings.Trim(word, "`")) })
		s.Help = shellQuoted.ReplaceAllString(s.Help, "$1")
		list = append(list, s)
	}
	return list
}

// listenFlags refuses to let other computers in without a certificate, unless
// asked to, and reports whether there is one.
func listenFlags(c *cli.Context) (secure bool, err error) {
	secure = c.IsSet("cert") && c.IsSet("key")
	if c.IsSet("cert") != c.IsSet("key") {
		return false, usagef("--cert and --key go together")
	}
	host, _, err := net.SplitHostPort(c.String("listen"))
	if err != nil {
		return false, usagef("--listen %s: an address and a port, such as 127.0.0.1:8080", c.String("listen"))
	}
	ip := net.ParseIP(host)
	if local := host == "localhost" || ip != nil && ip.IsLoopback(); !local && !secure && !c.Bool("insecure") {
		return false, withHint(usagef("--listen %s lets other computers in, and without a certificate others can read along", c.String("listen")),
			"add --cert and --key, or reach this computer through an SSH tunnel")
	}
	return secure, nil
}

// serveUntil answers until the program is to end.
func serveUntil(c *cli.Context, s *serve.Server, l net.Listener, secure bool) error {
	srv := s.HTTPServer()
	if secure {
		pair, err := tls.LoadX509KeyPair(c.String("cert"), c.String("key"))
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-c.Context.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
