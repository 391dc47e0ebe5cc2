//go:build unix

package cli

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unet/unet/serve"
)

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &about, &about, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	return cert, key
}

// TestServeRefuses: no other computer is let in by an oversight.
func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	file := filepath.Join(dir, "a.png")
	os.WriteFile(file, nil, 0o644)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, exitUsage, "certificate"},
		{[]string{"--listen", ":0"}, exitUsage, "certificate"},
		{[]string{"--listen", "[::]:0"}, exitUsage, "certificate"},
		{[]string{"--listen", "192.0.2.1:0"}, exitUsage, "certificate"},
		{[]string{"--listen", "example.org:0"}, exitUsage, "certificate"},
		{[]string{"--listen", "0.0.0.0:0", "--cert", cert}, exitUsage, "go together"},
		{[]string{"--listen", "0.0.0.0:0", "--key", key}, exitUsage, "go together"},
		{[]string{"--listen", "8080"}, exitUsage, "address and a port"},
		{[]string{"--max-memory", "much"}, exitUsage, "max-memory"},
		{[]string{"--max-upload", "-1"}, exitUsage, "max-upload"},
		{[]string{"another"}, exitUsage, "one folder"},
	} {
		_, stderr := mustRun(t, c.code, append(append([]string{"serve"}, c.args...), dir)...)
		if !strings.Contains(stderr, c.says) {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
	mustRun(t, exitUsage, "serve", file)
}

// TestServeListens: with a certificate, or when told that it is insecure, others
// are let in who know the token; the end leaves the folder free.
func TestServeListens(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	dir := t.TempDir()
	cert, key := certificate(t, t.TempDir())
	for _, c := range []struct {
		args   []string
		scheme string
	}{
		{[]string{"--listen", "127.0.0.1:0"}, "http://127.0.0.1:"},
		{[]string{"--listen", "0.0.0.0:0", "--host", "127.0.0.1", "--insecure"}, "http://127.0.0.1:"},
		{[]string{"--listen", "0.0.0.0:0", "--host", "127.0.0.1", "--cert", cert, "--key", key}, "https://127.0.0.1:"},
	} {
		out, in := io.Pipe()
		ended := make(chan int)
		go func() {
			ended <- Main(append(append([]string{"unet", "serve"}, c.args...), dir), strings.NewReader(""), in, io.Discard)
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, c.scheme) {
			t.Fatalf("%q: %q %v", c.args, line, err)
		}
		go io.Copy(io.Discard, out)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		address := strings.TrimSpace(line)
		for path, want := range map[string]int{address: http.StatusSeeOther, strings.Replace(address, "token=", "token=x", 1): http.StatusUnauthorized} {
			resp, err := client.Get(path)
			if err != nil {
				t.Fatalf("%q: %v", c.args, err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%q: %s, want %d", c.args, resp.Status, want)
			}
			if secure := strings.HasPrefix(c.scheme, "https"); want == http.StatusSeeOther && strings.Contains(resp.Header.Get("Set-Cookie"), "Secure") != secure {
				t.Errorf("%q: cookie %q", c.args, resp.Header.Get("Set-Cookie"))
			}
		}
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		select {
		case code := <-ended:
			if code != exitOK && code != exitInterrupted {
				t.Errorf("%q: exit status %d", c.args, code)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q does not end", c.args)
		}
	}
}

// TestPageSettings: the page asks for settings in the words of unet predict.
func TestPageSettings(t *testing.T) {
	list := pageSettings()
	if len(list) != len(serve.SettingNames) {
		t.Fatalf("%d settings of %d", len(list), len(serve.SettingNames))
	}
	for _, s := range list {
		if s.Help == "" || s.Group == "" || strings.Contains(s.Help, "`") {
			t.Errorf("%s is no option of unet predict, or has no help: %+v", s.Name, s)
		}
	}
}
