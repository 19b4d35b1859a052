package rawjson

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// AppendPlain appends JSON in a form that is the same for values that say the same to a program: without
// white space, with the members of objects in the order of their names, and without those that say
// nothing, as a struct without that field does: null, false, 0, and what is empty.
func AppendPlain(b, raw []byte) []byte {
	switch First(raw) {
	case '{':
		o := NewObject()
		for name, value := range Members(raw) {
			o.Set(name.String(), value)
		}
		slices.SortFunc(o.list, func(a, b member) int { return cmp.Compare(a.name, b.name) })
		b = append(b, '{')
		for _, m := range o.list {
			before := len(b)
			b = append(strconv.AppendQuote(b, m.name), ':')
			from := len(b)
			if b = append(AppendPlain(b, m.value), ','); saysNothing(b[from : len(b)-1]) {
				b = b[:before]
			}
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for _, item := range Items(raw) {
			b = append(AppendPlain(b, item), ',')
		}
		return append(b, ']')
	}
	return append(b, bytes.TrimSpace(raw)...)
}

func saysNothing(plain []byte) bool {
	switch string(plain) {
	case "null", "false", "0", `""`, "{}", "[]":
		return true
	}
	return false
}
