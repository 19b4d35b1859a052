package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

const (
	envPrefix = "EDDA_"
	// delim parts the levels of a setting's path. It stands in no name, so that a
	// principal may be called ada@example.com.
	delim = "\x1f"
	// configFlag is no setting of its own.
	configFlag = "config"
)

// others are environment variables of ours that are no settings of a node.
var others = map[string]bool{
	"EDDA_CONFIG": true, "EDDA_URL": true, "EDDA_TOKEN": true, "EDDA_NAMESPACE": true, "EDDA_LONG": true,
	"EDDA_CA": true, "EDDA_CLIENT_CERT": true, "EDDA_CLIENT_KEY": true,
}

// serviceLink matches what Kubernetes puts into the environment for a service
// that happens to be called edda.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)`)

// AddFlags adds a flag for each setting of a command, and --config. Help shows them in the
// order of the settings, since what some say goes on from the one before.
func AddFlags(flags *pflag.FlagSet, c Command) {
	flags.SortFlags = false
	flags.String(configFlag, "", "read settings from the YAML `FILE` (or EDDA_CONFIG)")
	for _, d := range definitions(c) {
		name := FlagName(d.name)
		if d.value == "false" {
			flags.Bool(name, false, d.usage)
			continue
		}
		flags.String(name, d.value, d.usage)
	}
	for _, t := range mappings {
		flags.StringArray(t.flag, nil, t.usage)
	}
}

// loader merges the sources and remembers which one had the last word.
type loader struct {
	command Command
	all     *koanf.Koanf
	source  map[string]Source
}

// Load reads the file that --config or EDDA_CONFIG names, then the environment,
// then the flags, which AddFlags must have added, and validates the result.
func Load(flags *pflag.FlagSet, environ []string, c Command) (*Node, error) {
	l := loader{c, koanf.New(delim), map[string]Source{}}
	if err := l.file(flags, environ); err != nil {
		return nil, err
	}
	if err := l.env(environ); err != nil {
		return nil, err
	}
	if err := l.flags(flags); err != nil {
		return nil, err
	}
	return l.node()
}

func (l *loader) file(flags *pflag.FlagSet, environ []string) error {
	path, err := flags.GetString(configFlag)
	if err != nil {
		return fmt.Errorf("read the flag --%s: %w", configFlag, err)
	}
	for _, v := range environ {
		if name, value, _ := strings.Cut(v, "="); name == "EDDA_CONFIG" && path == "" {
			path = value
		}
	}
	if path == "" {
		return nil
	}
	part, doc := koanf.New(delim), &document{}
	if err := part.Load(file.Provider(path), doc); err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path is said below
		}
		return fmt.Errorf("read the config file %s: %w", path, err)
	}
	top := Source{text: "in " + path, value: doc.root}
	return l.merge(part, top.setting)
}

func (l *loader) env(environ []string) error {
	byEnv := map[string]string{}
	for _, t := range mappings {
		byEnv[EnvName(t.name)] = t.name
	}
	for _, d := range definitions(l.command) {
		byEnv[EnvName(d.name)] = d.name
	}
	var bad error
	part := koanf.New(delim)
	err := part.Load(env.Provider(delim, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			setting, known := byEnv[name]
			switch {
			case others[name] || serviceLink.MatchString(name):
				return "", nil
			case !known:
				bad = l.notInEnvironment(name)
				return "", nil
			}
			if t := mappingOf(setting); t != nil {
				m, err := t.read(strings.Split(value, ","))
				if err != nil {
					bad = fmt.Errorf("%s in the environment: %w", name, err)
				}
				return setting, m
			}
			return path(setting), value
		},
	}), nil)
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	return l.merge(part, func(name string) Source { return Source{text: "in the environment as " + EnvName(name)} })
}

func (l *loader) flags(flags *pflag.FlagSet) error {
	byFlag, mappingsByFlag := map[string]string{}, map[string]*mapping{}
	for i, t := range mappings {
		mappingsByFlag[t.flag] = &mappings[i]
	}
	for _, d := range definitions(l.command) {
		byFlag[FlagName(d.name)] = path(d.name)
	}
	var bad error
	part := koanf.New(delim)
	err := part.Load(posflag.ProviderWithFlag(flags, delim, part, func(f *pflag.Flag) (string, any) {
		if !f.Changed {
			return "", nil
		}
		if t := mappingsByFlag[f.Name]; t != nil {
			given, err := flags.GetStringArray(t.flag)
			if err != nil {
				bad = err
				return "", nil
			}
			m, err := t.read(given)
			if err != nil {
				bad = fmt.Errorf("--%s: %w", t.flag, err)
			}
			return t.name, m
		}
		return byFlag[f.Name], f.Value.String()
	}), nil)
	if bad != nil {
		return bad
	}
	if err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	return l.merge(part, func(name string) Source { return Source{text: "of --" + FlagName(name)} })
}

// path returns where a setting stands in the tree.
func path(name string) string { return strings.ReplaceAll(name, ".", delim) }

// merge adds what a source says, which says it stronger than those before.
func (l *loader) merge(part *koanf.Koanf, where func(name string) Source) error {
	known := map[string]bool{}
	for _, d := range definitions(l.command) {
		known[d.name] = true
	}
	for _, p := range part.Keys() {
		top, below, nested := strings.Cut(p, delim)
		name := strings.ReplaceAll(p, delim, ".")
		t := mappingOf(top)
		switch {
		case t != nil && nested && !strings.Contains(below, delim):
			name = top
		case t != nil:
			return fmt.Errorf("%s %s must map %s", top, where(top), t.maps)
		case top == grants || top == routes:
			name = top
		case known[top] && nested:
			return fmt.Errorf("%s %s must be one value, but has %q below it", top, where(top), below)
		case !known[name] && !nested && len(ofGroup(name, l.names())) > 0:
			return fmt.Errorf("%s %s must have settings below it: there are %s", name, where(name), strings.Join(ofGroup(name, l.names()), ", "))
		case !known[name]:
			return fmt.Errorf("%q %s is no setting of edda %s: %s", name, where(name), l.command, suggest(name, l.names()))
		case p != path(name):
			group, below, _ := strings.Cut(name, ".")
			return fmt.Errorf("%q %s is written on one level: write %s: {%s: …}", name, where(name), group, below)
		case lists[name]:
			if err := joinList(part, p); err != nil {
				return fmt.Errorf("%s %s %w", name, where(name), err)
			}
		case !isScalar(part.Get(p)):
			return fmt.Errorf("%s %s must be one value", name, where(name))
		}
		l.source[name] = where(name)
	}
	if err := l.all.Merge(part); err != nil {
		return fmt.Errorf("merge settings: %w", err)
	}
	return nil
}

// joinList makes of a list one text with commas, as it stands elsewhere.
func joinList(part *koanf.Koanf, path string) error {
	switch v := part.Get(path).(type) {
	case string:
		return nil
	case []any:
		all := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok || s == "" || strings.Contains(s, ",") {
				return fmt.Errorf("has %v, must be a list of texts", e)
			}
			all[i] = s
		}
		return part.Set(path, strings.Join(all, ","))
	default:
		return errors.New("must be a list of texts, such as [one, two]")
	}
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	default:
		return true
	}
}

// node makes and validates the result.
func (l *loader) node() (*Node, error) {
	n := &Node{From: l.source}
	for _, d := range definitions(l.command) {
		value, where := d.value, ""
		if p := path(d.name); l.all.Exists(p) {
			value, where = l.all.String(p), " "+l.source[d.name].String()
		}
		if err := d.set(n, value); err != nil {
			return nil, fmt.Errorf("%s%s is %q, %w", d.name, where, value, err)
		}
	}
	if l.all.Exists(grants) {
		if err := n.setGrants(l.all.Get(grants), l.source[grants]); err != nil {
			return nil, err
		}
	}
	if l.all.Exists(routes) {
		if err := n.setRoutes(l.all.Get(routes), l.source[routes]); err != nil {
			return nil, err
		}
	}
	named, _ := l.all.Get(credentials).(map[string]any)
	if err := n.setCredentials(named); err != nil {
		return nil, err
	}
	directories, _ := l.all.Get(pages).(map[string]any)
	if err := n.setPages(directories); err != nil {
		return nil, err
	}
	return n, n.check(l.command)
}

// names returns the settings.
func (l *loader) names() []string {
	var names []string
	for _, d := range definitions(l.command) {
		names = append(names, d.name)
	}
	return append(names, credentials, pages, routes, grants)
}

// notInEnvironment says what is wrong with a variable that is ours by its name.
func (l *loader) notInEnvironment(name string) error {
	var names []string
	for _, n := range l.names() {
		if n != routes && n != grants {
			names = append(names, EnvName(n))
		}
	}
	ours := append(names, slices.Sorted(maps.Keys(others))...)
	return fmt.Errorf("%s in the environment is no setting of edda %s: %s", name, l.command, suggest(name, ours))
}
