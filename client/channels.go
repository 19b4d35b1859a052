package client

import (
	"cmp"
	"context"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// channelService is the name of the service of channels.
const channelService = "/edda.v1.ChannelService/"

// SetChannel creates a channel, or changes one. See edda.ChannelBackend. When the connection
// broke before the answer, created may be false of a channel that this call has created.
func (c *Conn) SetChannel(ctx context.Context, s edda.ChannelSpec) (ch *edda.Channel, created bool, err error) {
	op := "set channel " + s.Name
	if err := s.Validate(); err != nil {
		return nil, false, err
	}
	b, _, err := c.tell(ctx, op, channelService+"SetChannel", appendChannelSpec(nil, 1, &s), true)
	if err != nil {
		return nil, false, err
	}
	view, created, err := readSet(op, b)
	if err != nil {
		return nil, false, err
	}
	ch, err = readChannel(op, view)
	return ch, created, err
}

// Channel returns what is known of a channel. See edda.ChannelBackend.
func (c *Conn) Channel(ctx context.Context, namespace, name string) (*edda.Channel, error) {
	op := "look up channel " + name
	if err := checkChannel(namespace, name); err != nil {
		return nil, err
	}
	b, err := c.ask(ctx, op, channelService+"GetChannel", edda.ID{}, channelRef(namespace, name))
	if err != nil {
		return nil, err
	}
	return readChannel(op, b)
}

// Channels returns a page of channels. See edda.ChannelBackend.
func (c *Conn) Channels(ctx context.Context, namespace string, limit int, after string) ([]edda.Channel, string, error) {
	const op = "list channels"
	if err := checkLimit(op, limit); err != nil {
		return nil, "", err
	}
	b, err := c.ask(ctx, op, channelService+"ListChannels", edda.ID{}, listRequest(namespace, limit, after))
	if err != nil {
		return nil, "", err
	}
	var page []edda.Channel
	next := ""
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			ch, err := readChannel(op, f.Bytes)
			if err != nil {
				return err
			}
			page = append(page, *ch)
		case 2:
			next = string(f.Bytes)
		}
		return nil
	})
	return page, next, err
}

// DeleteChannel removes a channel. See edda.ChannelBackend. When the connection breaks before
// the answer the error is OutcomeUnknown: a second time might remove one that was created
// since.
func (c *Conn) DeleteChannel(ctx context.Context, namespace, name string) error {
	if err := checkChannel(namespace, name); err != nil {
		return err
	}
	_, _, err := c.tell(ctx, "delete channel "+name, channelService+"DeleteChannel", channelRef(namespace, name), false)
	return err
}

// checkChannel checks what names a channel, as the node does.
func checkChannel(namespace, name string) error {
	return (&edda.ChannelSpec{Namespace: namespace, Name: name}).Validate()
}

// channelRef is a ChannelRef.
func channelRef(namespace, name string) []byte {
	return wire.AppendString(wire.AppendString(nil, 1, namespace), 2, name)
}

// listRequest asks for a page of what a namespace has.
func listRequest(namespace string, limit int, after string) []byte {
	b := wire.AppendString(nil, 1, rpcconn.Text(namespace))
	b = wire.AppendUint(b, 2, uint64(limit))
	return wire.AppendString(b, 3, rpcconn.Text(after))
}

// appendChannelSpec appends a ChannelSpec, which is valid, as a field.
func appendChannelSpec(b []byte, field int, s *edda.ChannelSpec) []byte {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Name)
	var inner int
	for i := range s.From {
		b, inner = wire.Begin(b, 3)
		b = wire.AppendString(b, 1, s.From[i].Stream)
		for _, p := range s.From[i].Patterns {
			b = wire.AppendString(b, 2, rpcconn.Text(p))
		}
		wire.End(b, inner)
	}
	if h := s.History; h != (edda.History{}) {
		b, inner = wire.Begin(b, 4)
		b = wire.AppendUint(b, 1, h.Count)
		b = wire.AppendUint(b, 2, uint64(h.Age))
		wire.End(b, inner)
	}
	wire.End(b, mark)
	return b
}

// readChannel reads what is known of a channel.
func readChannel(op string, b []byte) (*edda.Channel, error) {
	c := new(edda.Channel)
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			return readChannelSpec(op, f.Bytes, &c.ChannelSpec)
		case 2:
			c.CreatedAt = timeOf(f.Uint)
		case 3:
			c.Subscribers = int(f.Uint)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func readChannelSpec(op string, b []byte, s *edda.ChannelSpec) error {
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Namespace = string(f.Bytes)
		case 2:
			s.Name = string(f.Bytes)
		case 3:
			s.From = append(s.From, edda.ChannelSource{})
			return readSource(op, f.Bytes, &s.From[len(s.From)-1])
		case 4:
			return eachField(op, f.Bytes, func(f *wire.Field) error {
				switch f.Num {
				case 1:
					s.History.Count = f.Uint
				case 2:
					s.History.Age = time.Duration(f.Uint)
				}
				return nil
			})
		}
		return nil
	})
	s.Namespace = cmp.Or(s.Namespace, edda.DefaultNamespace)
	return err
}

func readSource(op string, b []byte, s *edda.ChannelSource) error {
	return eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Stream = string(f.Bytes)
		case 2:
			s.Patterns = append(s.Patterns, string(f.Bytes))
		}
		return nil
	})
}
