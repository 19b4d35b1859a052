package setting

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/option"
)

// options are the settings that gateways have as options.
var options = map[option.Name]string{
	"Listen": "listen", "Routes": routes, "Pages": pages, "Origins": "origins", "KeyHeaders": "auth.keyHeaders", "MaxBody": "limits.payloadBytes",
}

// InWords returns what a gateway says of its options in the words of the settings, and
// with where they were set. Any other error it returns as it is.
func (n *Node) InWords(err error) error {
	e, ok := errors.AsType[*option.Error](err)
	if !ok || len(e.Path) == 0 || options[e.Path[0].Field] == "" {
		return err
	}
	name := options[e.Path[0].Field]
	from, label := n.From[name], ""
	var fields []string
	for _, s := range e.Path[1:] {
		switch {
		case s.Field != "":
			fields = append(fields, inFile(s.Field))
			from = from.key(inFile(s.Field))
		case name == pages:
			from = from.key(n.Pages[s.Index].Path)
		default:
			from, label = from.element(s.Index), s.Label
		}
	}
	text := name
	if where := from.String(); where != "" {
		text += " " + where
	}
	if label != "" {
		text += ": " + strconv.Quote(label)
	}
	if len(fields) > 0 {
		text += ": " + strings.Join(fields, ".")
	}
	return errors.New(text + e.Why(inFile))
}

// inFile returns the name of a field as it is in the file: MaxAge is maxAge, and CORS
// cors.
func inFile(field option.Name) string {
	name := string(field)
	if name == strings.ToUpper(name) {
		return strings.ToLower(name)
	}
	return strings.ToLower(name[:1]) + name[1:]
}

// suggest returns what is said of a name that there is not: the one that may have been
// meant, else those of its group, else all.
func suggest(given string, names []string) string {
	if near := human.Nearest(given, names); near != "" {
		return "did you mean " + near + "?"
	}
	if group, _, ok := strings.Cut(given, "."); ok {
		if of := ofGroup(group, names); len(of) > 0 {
			names = of
		}
	}
	return "there are " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// ofGroup returns the settings of a group.
func ofGroup(group string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, group+".") })
}
