package train

import (
	"strings"
	"testing"

	"unet/unet"

	"go.yaml.in/yaml/v3"
)

// FuzzConfig: settings are understood or refused, aliases that multiply
// included; those that pass the check survive being written and read.
func FuzzConfig(f *testing.F) {
	quick, err := NucleiConfig("quick")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []Config{quick, paperConfig(128)} {
		b, err := yaml.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nkind: *c\n"))
	f.Add([]byte("<<: &a {<<: *a}\n"))
	f.Add([]byte("steps: 9223372036854775807\nepochs: 1e99\nseed: -1\nlr: .nan\n"))
	f.Add([]byte("batch: 16\n"))
	f.Add([]byte("kind: paper\nloss: {foreground: {dice: 1}}\n"))
	over := Defaults{Kind: unet.Nuclei, Preset: "quick", Size: 128}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig("fuzz.yaml", b, over)
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
		if again, err := parseConfig("fuzz.yaml", text, over); err != nil || again.Check() != nil {
			t.Errorf("settings do not come back: %v\n%s", err, text)
		}
	})
}
