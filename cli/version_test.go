package cli

import (
	"runtime/debug"
	"testing"
)

func TestDescribeVersion(t *testing.T) {
	build := func(version, revision, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}}}
	}
	const revision = "89262c2ea04b0123456789"
	for _, c := range []struct {
		release string
		build   *debug.BuildInfo
		want    string
	}{
		{"", &debug.BuildInfo{}, "devel"},
		{"", build("(devel)", revision, "false"), "devel (89262c2ea04b)"},
		{"", build("(devel)", revision, "true"), "devel (89262c2ea04b, modified)"},
		{"", build("v0.0.0-20261125025646-89262c2ea04b+dirty", revision, "true"), "v0.0.0-20261125025646-89262c2ea04b+dirty"},
		{"v1.2.3", build("(devel)", revision, "false"), "v1.2.3 (89262c2ea04b)"},
	} {
		if got := describeVersion(c.release, c.build); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
