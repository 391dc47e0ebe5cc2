package cli

import (
	"runtime/debug"
	"testing"
)

func TestDescribeVersion(t *testing.T) {
	build := func(revision, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}}}
	}
	const revision = "89262c2ea04b0123456789"
	for _, c := range []struct {
		build *debug.BuildInfo
		want  string
	}{
		{&debug.BuildInfo{}, "1.2.3"},
		{build(revision, "false"), "1.2.3 (89262c2ea04b)"},
		{build(revision, "true"), "1.2.3 (89262c2ea04b, modified)"},
	} {
		if got := describeVersion("1.2.3", c.build); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
