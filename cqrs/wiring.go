package cqrs

import (
	"errors"

	"github.com/edda-io/edda/cqrs/internal/settings"
)

// Wiring adds routes to handlers by their names, and patterns to channels, as data: a settings
// file may say it. Its JSON is that of spool-broadcast:
//
//	{"hooks": {"Users": {"broadcasters": {"Accounts": {"create.user": {
//	  "isUnique": {"lifecycle": "before", "config": {"priority": 1, "expects_input": "User"}}
//	}}}}}}
//
// which routes the hook Users.isUnique of the broadcaster Accounts. Beside "hooks" there may be
// "projectors", "processors" and "dispatchers", whose methods have a consistency in place of the
// lifecycle, and "channels", whose class is the channel's name. All of it may stand under
// "broadcast".
type Wiring struct {
	Routes   []WiredRoute
	Channels []WiredChannel
}

// WiredRoute is a route of a handler.
type WiredRoute struct {
	Kind        Kind
	Broadcaster string
	// Handler is Class.method.
	Handler string
	Route   Route
}

// WiredChannel is a pattern of events that a channel carries.
type WiredChannel struct {
	Broadcaster string
	// Channel is its name, and Method what the settings call the pattern.
	Channel, Method string
	Pattern         string
}

// wiredKinds are the kinds as settings name them.
var wiredKinds = map[string]Kind{
	"hooks": KindHook, "projectors": KindProjector, "processors": KindProcessor, "dispatchers": KindDispatcher,
}

// UnmarshalJSON reads settings. What is JSON and yet wrong is a *edda.Error, BadValue or
// UnknownField, that says where it stands.
func (w *Wiring) UnmarshalJSON(b []byte) error {
	d, err := settings.Read(b)
	if err != nil {
		return err
	}
	*w = Wiring{}
	return d.Object(func(name string, v settings.Doc) error {
		if name == "broadcast" {
			return v.Object(w.section)
		}
		return w.section(name, v)
	})
}

// section reads the classes of a kind.
func (w *Wiring) section(name string, v settings.Doc) error {
	method := w.channel
	if kind, ok := wiredKinds[name]; ok {
		method = func(at wiredMethod, v settings.Doc) error { return w.handler(kind, at, v) }
	} else if name != "channels" {
		return v.Unknown("hooks, projectors, processors, dispatchers and channels")
	}
	return v.Object(func(class string, v settings.Doc) error {
		return v.Object(func(name string, v settings.Doc) error {
			if name != "broadcasters" {
				return v.Unknown("broadcasters")
			}
			return readMethods(class, v, method)
		})
	})
}

// wiredMethod is a method, and where it stands.
type wiredMethod struct {
	class, broadcaster, pattern, method string
}

// readMethods reads what is below "broadcasters".
func readMethods(class string, v settings.Doc, method func(wiredMethod, settings.Doc) error) error {
	return v.Object(func(broadcaster string, v settings.Doc) error {
		return v.Object(func(pattern string, v settings.Doc) error {
			return v.Object(func(name string, v settings.Doc) error {
				if name == "" {
					return v.Wrong(errors.New("the method has no name"))
				}
				return method(wiredMethod{class, broadcaster, pattern, name}, v)
			})
		})
	})
}

// handler reads a route of a handler.
func (w *Wiring) handler(kind Kind, at wiredMethod, v settings.Doc) error {
	r := WiredRoute{Kind: kind, Broadcaster: at.broadcaster, Handler: at.class + "." + at.method, Route: Route{Pattern: at.pattern}}
	when, other := "consistency", "lifecycle"
	if kind == KindHook {
		when, other = other, when
	}
	c := &r.Route.Config
	var said string
	err := v.Object(func(name string, v settings.Doc) error {
		switch name {
		case when:
			return v.Name(&said)
		case other:
			return v.Wrong(errors.New("a " + string(kind) + " has a " + when))
		case "config":
			return readWiredConfig(c, v)
		}
		return v.Unknown(when + " and config")
	})
	if kind == KindHook {
		c.Lifecycle = Lifecycle(said)
	} else {
		c.Consistency = Consistency(said)
	}
	w.Routes = append(w.Routes, r)
	return err
}

// readWiredConfig reads a config without what stands beside it.
func readWiredConfig(c *Config, v settings.Doc) error {
	r := &configReader{c: c}
	err := v.Object(func(name string, v settings.Doc) error {
		if name == "lifecycle" || name == "consistency" {
			return v.Wrong(errors.New("it stands beside the config, not in it"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.read(v)
}

// channel reads a pattern of a channel.
func (w *Wiring) channel(at wiredMethod, v settings.Doc) error {
	w.Channels = append(w.Channels, WiredChannel{Broadcaster: at.broadcaster, Channel: at.class, Method: at.method, Pattern: at.pattern})
	return v.Object(func(name string, v settings.Doc) error {
		switch name {
		case "lifespan":
			var s string
			if err := v.Text(&s); err != nil || s != "eternal" {
				return v.Bad("eternal: a lifespan is a subscription's, which is made ephemeral by the subscriber")
			}
			return nil
		case "config":
			return v.Object(func(_ string, v settings.Doc) error {
				return v.Wrong(errors.New("a channel carries each event of its patterns once, and so has nothing to be configured"))
			})
		}
		return v.Unknown("lifespan and config")
	})
}
