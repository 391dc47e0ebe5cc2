package owned

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type jsonHead struct {
	Schema int `json:"schema"`
}

type jsonInner struct {
	A string         `json:"a"`
	B []int          `json:"b,omitempty"`
	C map[string]int `json:"c"`
}

// The stream writes what the standard encoder writes.
func TestEncodeJSON(t *testing.T) {
	type all struct {
		jsonHead
		*jsonInner
		List     []jsonInner       `json:"list"`
		None     []jsonInner       `json:"none"`
		Empty    []jsonInner       `json:"empty"`
		Left     []jsonInner       `json:"left,omitempty"`
		Numbers  []float64         `json:"numbers"`
		Pointers []*jsonInner      `json:"pointers"`
		Raw      []json.RawMessage `json:"raw"`
		Text     string            `json:"text"`
		Unnamed  bool
		Hidden   int        `json:"-"`
		NoText   string     `json:"no_text,omitempty"`
		NoNumber float64    `json:"no_number,omitempty"`
		Nothing  *jsonInner `json:"nothing,omitempty"`
		Null     *jsonInner `json:"null"`
		Object   jsonInner  `json:"object,omitempty"`
		Zero     jsonHead   `json:"zero,omitzero"`
		private  int
	}
	inner := jsonInner{A: "<é\u2028>\n", B: []int{1, 2}, C: map[string]int{"y": 1, "x": 2}}
	for name, v := range map[string]any{
		"all": all{jsonHead: jsonHead{3}, jsonInner: &inner, List: []jsonInner{inner, {}}, Empty: []jsonInner{}, Numbers: []float64{1, 1e30},
			Pointers: []*jsonInner{&inner, nil}, Raw: []json.RawMessage{[]byte(`{"k":[]}`)}, Text: `"quoted"`, private: 1},
		"zero":    all{},
		"pointer": &jsonInner{A: "a"},
		"empty":   struct{}{},
		"list":    []jsonInner{inner},
		"map":     map[string]jsonInner{"k": inner},
		"nil":     nil,
		"own":     json.RawMessage(`[1]`),
	} {
		for _, indent := range []string{"  ", " "} {
			var want, got bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetIndent("", indent)
			if err := errors.Join(e.Encode(v), EncodeJSON(&got, v, indent)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.String(), got.String()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestEncodeJSONErrors(t *testing.T) {
	if err := EncodeJSON(failing{}, jsonHead{}, " "); err == nil || err.Error() != "disk full" {
		t.Errorf("writer: %v", err)
	}
	if err := EncodeJSON(new(bytes.Buffer), struct{ V []struct{ F float64 } }{[]struct{ F float64 }{{math.NaN()}}}, " "); err == nil {
		t.Error("NaN was written")
	}
}
