package cli

import (
	"strings"
	"testing"

	"unet/unet"

	"go.yaml.in/yaml/v3"
)

// FuzzConfig: settings are understood or refused, aliases that multiply
// included; those that pass the check survive being written and read.
func FuzzConfig(f *testing.F) {
	quick, err := unet.NucleiConfig("quick")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []unet.Config{quick, unet.PaperConfig(128)} {
		b, err := yaml.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nkind: *c\n"))
	f.Add([]byte("<<: &a {<<: *a}\n"))
	f.Add([]byte("steps: 9223372036854775807\nepochs: 1e99\nseed: -1\nlearning_rate: .nan\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig("fuzz.yaml", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml: ") {
				t.Errorf("error without the file: %v", err)
			}
			return
		}
		if c.Check() != nil {
			return
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseConfig("fuzz.yaml", text); err != nil || again.Check() != nil {
			t.Errorf("settings do not come back: %v\n%s", err, text)
		}
	})
}
