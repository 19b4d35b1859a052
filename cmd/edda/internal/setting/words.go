package setting

import (
	"errors"
	"regexp"
	"strings"

	"github.com/edda-io/edda"
)

// options are the settings that gateways have as options.
var options = map[string]string{
	"Routes": routes, "Pages": pages, "Origins": "origins", "KeyHeaders": "auth.keyHeaders", "MaxBody": "limits.payloadBytes",
}

var (
	// option matches which one an error is about.
	option = regexp.MustCompile(`^option (\w+)(\[\d+\])?:? `)
	// fieldName matches the name of a field of routes and pages, or what only looks like one.
	fieldName = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|JSON Schema|(?:field )?\b(Route|Namespace|Service|Method|Stream|Type|ReplyTo|Key|Shard|Payload|Headers|Wait|Async|` +
		`Schema|MaxBody|Public|CORS|Origins|Expose|Credentials|MaxAge|Rate|Limit|Per|Burst|Path)\b`)
)

// InWords returns what a gateway says of its options in the words of the settings, and
// with where they were set. Any other error it returns as it is.
func (n *Node) InWords(err error) error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != edda.BadValue || e.Err == nil {
		return err
	}
	name, text := routes, e.Err.Error()
	if m := option.FindStringSubmatch(text); m != nil && options[m[1]] != "" {
		name, text = options[m[1]], strings.TrimPrefix(text[len(m[0]):], "its ")
	} else if text, ok = strings.CutPrefix(text, "route "); !ok {
		return err
	}
	where := name
	if from := n.From[name]; from != "" {
		where += " " + from
	}
	if !strings.HasPrefix(text, "has ") {
		where += ":"
	}
	return errors.New(where + " " + fieldName.ReplaceAllStringFunc(text, inFile))
}

// inFile returns the name of a field as it is in the file, and what is none as it is.
func inFile(field string) string {
	if field == "JSON Schema" || field[0] == '"' {
		return field
	}
	name := strings.TrimPrefix(field, "field ")
	if name == strings.ToUpper(name) {
		return strings.ToLower(name) // CORS
	}
	return strings.ToLower(name[:1]) + name[1:]
}
