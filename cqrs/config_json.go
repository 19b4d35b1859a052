package cqrs

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/merge"
	"github.com/edda-io/edda/cqrs/internal/settings"
	"github.com/edda-io/edda/internal/specjson"
)

// UnmarshalJSON reads the members of spool-broadcast's "config", and what is beside it there:
// lifecycle or consistency. How results are merged stands in "data" and "metadata", or, as in
// older settings, directly in the config. To retry, there is
//
//	"retry": {"max": 5, "delay": "100ms", "maxDelay": "30s", "backoff": 2, "jitter": 0.2}
//
// in place of which retry_on_fail, retry_max (how often after the first time) and retry_wait (milliseconds)
// are known as well. "timeout" is a duration such as "1.5s". What it does not know it refuses.
func (c *Config) UnmarshalJSON(b []byte) error {
	d, err := settings.Read(b)
	if err != nil {
		return err
	}
	*c = Config{}
	return (&configReader{c: c}).read(d)
}

const configMembers = "priority, lifecycle, consistency, expects_input, expects_response, expects_output, dispatches_command, " +
	"data, metadata, merge, push, zip, include, retry, retry_on_fail, retry_max, retry_wait, timeout and onDead"

// configReader reads a config.
type configReader struct {
	c           *Config
	data        bool // there is a member data
	old         bool // there is a merge and the like beside it
	retry       bool
	retryOnFail bool
	retryMax    int // -1 when it is not there
	retryWait   int
}

func (r *configReader) read(d settings.Doc) error {
	r.retryMax = -1
	if err := d.Object(r.member); err != nil {
		return err
	}
	if r.data && r.old {
		return d.Wrong(errors.New("how to merge stands in data and beside it; say it in data"))
	}
	if r.old {
		if err := merge.How(r.c.Merge).Check(); err != nil {
			return d.Wrong(err)
		}
	}
	return r.oldRetry(d)
}

func (r *configReader) member(name string, v settings.Doc) error {
	c := r.c
	switch name {
	case "priority":
		return v.Number(&c.Priority, -1<<31)
	case "lifecycle":
		return v.Name((*string)(&c.Lifecycle))
	case "consistency":
		return v.Name((*string)(&c.Consistency))
	case "expects_input":
		return c.ExpectsInput.read(v)
	case "expects_response":
		return c.ExpectsResponse.read(v)
	case "expects_output":
		return c.ExpectsOutput.read(v)
	case "dispatches_command":
		return v.Name(&c.DispatchesCommand)
	case "data":
		r.data = true
		return (*merge.How)(&c.Merge).Read(v)
	case "metadata":
		return (*merge.How)(&c.MergeMetadata).Read(v)
	case "timeout":
		return v.Duration(&c.Timeout)
	case "onDead":
		return v.Name((*string)(&c.OnDead))
	}
	if known, err := (*merge.How)(&c.Merge).Member(name, v); known {
		r.old = true
		return err
	}
	return r.retryMember(name, v)
}

func (r *configReader) retryMember(name string, v settings.Doc) error {
	switch name {
	case "retry":
		r.retry = true
		policy, err := specjson.Retry(v.Path, v.Raw)
		r.c.Retry = policy
		return err
	case "retry_on_fail":
		return v.Flag(&r.retryOnFail)
	case "retry_max":
		return v.Number(&r.retryMax, 0)
	case "retry_wait":
		return v.Number(&r.retryWait, 1)
	case "retry_on_timeout", "retry_attempts":
		return v.Wrong(errors.New("a timeout is a failure like any other; say retry, or retry_on_fail with retry_max"))
	case "processing":
		var how string
		if err := v.Text(&how); err != nil || how != "serial" {
			return v.Bad("serial: handlers of an event run one after the other")
		}
		return nil
	}
	return v.Unknown(configMembers)
}

// oldRetry makes a policy of spool-broadcast's settings.
func (r *configReader) oldRetry(d settings.Doc) error {
	said := r.retryOnFail || r.retryMax >= 0 || r.retryWait > 0
	switch {
	case said && r.retry:
		return d.Wrong(errors.New("it has retry and retry_on_fail, retry_max or retry_wait; say one"))
	case said && !r.retryOnFail && (r.retryMax > 0 || r.retryWait > 0):
		return d.Wrong(errors.New("retry_max and retry_wait say nothing without retry_on_fail"))
	case !said:
		return nil
	}
	policy := edda.RetryPolicy{Max: 1}
	if r.retryOnFail {
		policy = edda.RetryPolicy{Max: max(r.retryMax, 0) + 1}
		if r.retryMax < 0 {
			policy.Max = 0 // edda's default
		}
	}
	if r.retryWait > 0 {
		policy.Delay, policy.Backoff, policy.Jitter = time.Duration(r.retryWait)*time.Millisecond, 1, -1
	}
	r.c.Retry = policy
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads, in the newer of its forms.
func (c Config) MarshalJSON() ([]byte, error) {
	type retry struct {
		Max      int      `json:"max,omitempty"`
		Delay    string   `json:"delay,omitempty"`
		MaxDelay string   `json:"maxDelay,omitempty"`
		Backoff  float64  `json:"backoff,omitempty"`
		Jitter   *float64 `json:"jitter,omitempty"`
	}
	form := struct {
		Priority          int         `json:"priority,omitempty"`
		Lifecycle         Lifecycle   `json:"lifecycle,omitempty"`
		Consistency       Consistency `json:"consistency,omitempty"`
		ExpectsInput      Objects     `json:"expects_input,omitempty"`
		ExpectsResponse   Objects     `json:"expects_response,omitempty"`
		ExpectsOutput     Objects     `json:"expects_output,omitempty"`
		DispatchesCommand string      `json:"dispatches_command,omitempty"`
		Data              Merge       `json:"data,omitzero"`
		Metadata          Merge       `json:"metadata,omitzero"`
		Retry             *retry      `json:"retry,omitempty"`
		Timeout           string      `json:"timeout,omitempty"`
		OnDead            edda.OnDead `json:"onDead,omitempty"`
	}{
		c.Priority, c.Lifecycle, c.Consistency, c.ExpectsInput, c.ExpectsResponse, c.ExpectsOutput, c.DispatchesCommand,
		c.Merge, c.MergeMetadata, nil, textOf(c.Timeout), c.OnDead,
	}
	if p := c.Retry; p != (edda.RetryPolicy{}) {
		form.Retry = &retry{Max: p.Max, Delay: textOf(p.Delay), MaxDelay: textOf(p.MaxDelay), Backoff: p.Backoff}
		if p.Jitter != 0 {
			form.Retry.Jitter = new(max(p.Jitter, 0))
		}
	}
	return json.Marshal(form)
}

// textOf is a duration as text; "" for none.
func textOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
