package record

import (
	"cmp"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// ChannelSet creates a channel with its own stream, or changes one.
type ChannelSet struct{ edda.ChannelSpec }

// AppendTo appends the whole record.
func (c *ChannelSet) AppendTo(b []byte) []byte {
	return c.AppendFields(AppendHeader(b, TypeChannelSet))
}

// AppendFields appends the record without its header.
func (c *ChannelSet) AppendFields(b []byte) []byte {
	b = wire.AppendString(b, 1, c.Namespace)
	b = wire.AppendString(b, 2, c.Name)
	for i := range c.From {
		var mark int
		b, mark = wire.Begin(b, 3)
		b = wire.AppendString(b, 1, c.From[i].Stream)
		for _, p := range c.From[i].Patterns {
			b = wire.AppendString(b, 2, p)
		}
		wire.End(b, mark)
	}
	b = wire.AppendUint(b, 4, c.History.Count)
	return wire.AppendUint(b, 5, uint64(c.History.Age))
}

// Decode reads the body of a record.
func (c *ChannelSet) Decode(body []byte) error {
	if err := c.DecodeFields(body); err != nil {
		return err
	}
	c.Namespace = cmp.Or(c.Namespace, edda.DefaultNamespace)
	if c.Name == "" {
		return fmt.Errorf("%s record without a name", TypeChannelSet)
	}
	return nil
}

// DecodeFields reads what AppendFields has appended, where the names may be missing.
func (c *ChannelSet) DecodeFields(b []byte) error {
	*c = ChannelSet{}
	return fields(TypeChannelSet, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			c.Namespace = string(f.Bytes)
		case 2:
			c.Name = string(f.Bytes)
		case 3:
			src, err := readSource(f.Bytes)
			if err != nil {
				return err
			}
			c.From = append(c.From, src)
		case 4:
			c.History.Count = f.Uint
		case 5:
			c.History.Age = time.Duration(f.Uint)
		}
		return nil
	})
}

func readSource(b []byte) (src edda.ChannelSource, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			src.Stream = string(f.Bytes)
		case 2:
			src.Patterns = append(src.Patterns, string(f.Bytes))
		}
	}
	if err := r.Err(); err != nil {
		return src, err
	}
	if src.Stream == "" {
		return src, fmt.Errorf("a source without a stream")
	}
	return src, nil
}

// ChannelRemoved removes a channel with its own stream.
type ChannelRemoved struct {
	Namespace string
	Name      string
}

// AppendTo appends the whole record.
func (c *ChannelRemoved) AppendTo(b []byte) []byte {
	b = wire.AppendString(AppendHeader(b, TypeChannelRemoved), 1, c.Namespace)
	return wire.AppendString(b, 2, c.Name)
}

// Decode reads the body of a record.
func (c *ChannelRemoved) Decode(body []byte) error {
	*c = ChannelRemoved{}
	return fields(TypeChannelRemoved, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			c.Namespace = string(f.Bytes)
		case 2:
			c.Name = string(f.Bytes)
		}
		return nil
	})
}
