package owned

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// JSON is a file for Write that holds v, indented for people.
func JSON(v any) func(io.Writer) error {
	return func(w io.Writer) error { return EncodeJSON(w, v, "  ") }
}

// EncodeJSON writes v as json.Encoder does, each level indented. The lists of a
// result, which may be as long as a set, are written an element at a time: v as a
// whole need not fit in memory as text.
func EncodeJSON(w io.Writer, v any, indent string) error {
	top := reflect.Indirect(reflect.ValueOf(v))
	if _, own := v.(json.Marshaler); own || top.Kind() != reflect.Struct {
		e := json.NewEncoder(w)
		e.SetIndent("", indent)
		return e.Encode(v)
	}
	s := &jsonStream{w: bufio.NewWriter(w), indent: indent}
	if err := s.fields(top); err != nil {
		return err
	}
	if s.n == 0 {
		s.w.WriteString("{")
	} else {
		s.w.WriteString("\n")
	}
	s.w.WriteString("}\n")
	return s.w.Flush()
}

// jsonStream writes the fields of an object. What fails to be written shows when it
// is flushed.
type jsonStream struct {
	w      *bufio.Writer
	indent string
	n      int // fields so far
	buffer bytes.Buffer
}

// fields writes those of a struct, embedded ones among them.
func (s *jsonStream) fields(v reflect.Value) error {
	for i := range v.NumField() {
		f, of := v.Field(i), v.Type().Field(i)
		name, options, _ := strings.Cut(of.Tag.Get("json"), ",")
		switch inner := reflect.Indirect(f); {
		case of.Anonymous && name == "" && !inner.IsValid():
			continue // a nil pointer
		case of.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			if err := s.fields(inner); err != nil {
				return err
			}
			continue
		case !of.IsExported(), name == "-", strings.Contains(options, "omitempty") && empty(f), strings.Contains(options, "omitzero") && f.IsZero():
			continue
		case name == "":
			name = of.Name
		}
		if err := s.field(name, f); err != nil {
			return err
		}
	}
	return nil
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (s *jsonStream) field(name string, v reflect.Value) error {
	if s.n == 0 {
		s.w.WriteString("{")
	} else {
		s.w.WriteString(",")
	}
	s.n++
	s.line(1)
	key, err := json.Marshal(name)
	if err != nil {
		return err
	}
	s.w.Write(key)
	s.w.WriteString(": ")
	if v.Kind() != reflect.Slice || v.Len() == 0 || v.Type().Elem().Kind() != reflect.Struct {
		return s.value(v, 1)
	}
	for i := range v.Len() {
		if i == 0 {
			s.w.WriteString("[")
		} else {
			s.w.WriteString(",")
		}
		s.line(2)
		if err := s.value(v.Index(i), 2); err != nil {
			return err
		}
	}
	s.line(1)
	s.w.WriteString("]")
	return nil
}

// line begins a line at a level.
func (s *jsonStream) line(level int) { s.w.WriteString("\n" + strings.Repeat(s.indent, level)) }

// value writes a value that stands at a level.
func (s *jsonStream) value(v reflect.Value, level int) error {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	s.buffer.Reset()
	if err := json.Indent(&s.buffer, b, strings.Repeat(s.indent, level), s.indent); err != nil {
		return err
	}
	s.w.Write(s.buffer.Bytes())
	return nil
}
