package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/gateway/routegw"
)

// reader sets one field of a T to what the file says.
type reader[T any] func(*T, any) error

// The fields of a route, and of what is in one, by their names in the file.
var (
	routeFields = map[string]reader[routegw.Route]{
		"route":     textField(func(r *routegw.Route) *string { return &r.Route }),
		"namespace": textField(func(r *routegw.Route) *string { return &r.Namespace }),
		"service":   textField(func(r *routegw.Route) *string { return &r.Service }),
		"method":    textField(func(r *routegw.Route) *string { return &r.Method }),
		"stream":    textField(func(r *routegw.Route) *string { return &r.Stream }),
		"type":      textField(func(r *routegw.Route) *string { return &r.Type }),
		"replyTo":   textField(func(r *routegw.Route) *string { return &r.ReplyTo }),
		"key":       textField(func(r *routegw.Route) *string { return &r.Key }),
		"shard":     textField(func(r *routegw.Route) *string { return &r.Shard }),
		"payload":   textField(func(r *routegw.Route) *routegw.Payload { return &r.Payload }),
		"headers":   textsField(func(r *routegw.Route) *[]string { return &r.Headers }),
		"wait":      durationField(func(r *routegw.Route) *time.Duration { return &r.Wait }),
		"async":     boolField(func(r *routegw.Route) *bool { return &r.Async }),
		"schema":    schemaField,
		"maxBody":   numberField(wantSize, func(r *routegw.Route) *int64 { return &r.MaxBody }),
		"public":    boolField(func(r *routegw.Route) *bool { return &r.Public }),
		"cors": func(r *routegw.Route, raw any) error {
			r.CORS = &routegw.CORS{}
			return read(r.CORS, raw, corsFields)
		},
		"rate": func(r *routegw.Route, raw any) error {
			r.Rate = &routegw.Rate{}
			return read(r.Rate, raw, rateFields)
		},
	}
	corsFields = map[string]reader[routegw.CORS]{
		"origins":     textsField(func(c *routegw.CORS) *[]string { return &c.Origins }),
		"headers":     textsField(func(c *routegw.CORS) *[]string { return &c.Headers }),
		"expose":      textsField(func(c *routegw.CORS) *[]string { return &c.Expose }),
		"credentials": boolField(func(c *routegw.CORS) *bool { return &c.Credentials }),
		"maxAge":      durationField(func(c *routegw.CORS) *time.Duration { return &c.MaxAge }),
	}
	rateFields = map[string]reader[routegw.Rate]{
		"limit": numberField(wantNumber, func(r *routegw.Rate) *int { return &r.Limit }),
		"per":   durationField(func(r *routegw.Rate) *time.Duration { return &r.Per }),
		"burst": numberField(wantNumber, func(r *routegw.Rate) *int { return &r.Burst }),
	}
)

// setRoutes keeps routes. What they mean together is for the gateway to check.
func (n *Node) setRoutes(raw any, from Source) error {
	list, ok := raw.([]any)
	if !ok {
		return fmt.Errorf("routes %s must be a list, each with at least route, and service and method, or stream, below it", from)
	}
	for i, e := range list {
		var r routegw.Route
		where := from.element(i)
		if err := read(&r, e, routeFields); err != nil {
			return fmt.Errorf("routes %s: %s: %w", where, routeName(e, i), err)
		}
		if r.Route == "" {
			return fmt.Errorf("routes %s: %s: route is not set: it is the method and the path, such as \"GET /users/{id}\"", where, routeName(e, i))
		}
		n.Routes = append(n.Routes, r)
	}
	return nil
}

// routeName says which route of a list is meant.
func routeName(raw any, i int) string {
	if m, ok := raw.(map[string]any); ok {
		if s, ok := m["route"].(string); ok && s != "" {
			return fmt.Sprintf("%q", s)
		}
	}
	return fmt.Sprintf("the route number %d", i+1)
}

// read reads an object, and refuses what is none of its fields.
func read[T any](v *T, raw any, fields map[string]reader[T]) error {
	m, ok := raw.(map[string]any)
	if !ok {
		return errors.New("must have fields below it: " + named(fields))
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		set, ok := fields[name]
		if !ok {
			return fmt.Errorf("%q is no field: there are %s", name, named(fields))
		}
		if m[name] == nil {
			return fmt.Errorf("%s is empty", name)
		}
		if err := set(v, m[name]); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

func named[T any](fields map[string]reader[T]) string {
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

func textField[T any, S ~string](field func(*T) *S) reader[T] {
	return func(v *T, raw any) error {
		s, ok := raw.(string)
		*field(v) = S(s)
		return refuse(!ok || s == "", "is %v, must be text: put it in quotes if it looks like something else", raw)
	}
}

func textsField[T any](field func(*T) *[]string) reader[T] {
	return func(v *T, raw any) error {
		list, ok := raw.([]any)
		if !ok {
			list = []any{raw}
		}
		all := make([]string, len(list))
		for i, e := range list {
			if all[i], ok = e.(string); !ok || all[i] == "" {
				return fmt.Errorf("is %v, must be a list of texts, such as [one, two]", raw)
			}
		}
		*field(v) = all
		return nil
	}
}

func boolField[T any](field func(*T) *bool) reader[T] {
	return func(v *T, raw any) error {
		b, ok := raw.(bool)
		*field(v) = b
		return refuse(!ok, "is %v, must be true or false", raw)
	}
}

func durationField[T any](field func(*T) *time.Duration) reader[T] {
	return func(v *T, raw any) error {
		d, err := time.ParseDuration(fmt.Sprint(raw))
		*field(v) = d
		return refuse(err != nil || d <= 0, "is %v, must be a duration above zero such as 10s", raw)
	}
}

func numberField[T any, N int | int64](want string, field func(*T) *N) reader[T] {
	return func(v *T, raw any) error {
		n, err := human.ParseNumber(fmt.Sprint(raw))
		*field(v) = N(n)
		return refuse(err != nil || n < 1, "is %v, %s", raw, want)
	}
}

// WhyNotOpened returns what is said of a file or directory that a setting names: where it
// was looked for, and why it was not opened.
func WhyNotOpened(path string, err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if filepath.IsAbs(path) {
		return fmt.Sprintf("%s: %v", path, err)
	}
	in, wdErr := os.Getwd()
	if wdErr != nil {
		return fmt.Sprintf("%s, which is looked for in the working directory: %v", path, err)
	}
	return fmt.Sprintf("%s, which is looked for in the working directory %s: %v", path, in, err)
}

// schemaField reads a JSON Schema, as it is or from a file that has it as JSON.
func schemaField(r *routegw.Route, raw any) (err error) {
	if path, ok := raw.(string); ok {
		if r.Schema, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("names the file %s", WhyNotOpened(path, err))
		}
		return refuse(!json.Valid(r.Schema), "names the file %s, which is not JSON", path)
	}
	r.Schema, err = json.Marshal(raw)
	return refuse(err != nil, "must be a JSON Schema: an object, or the name of a file")
}
