package cqrs

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// executionJSON is an execution as the steps of its saga carry it. What another process
// cannot know otherwise is in it; App.bind finds the rest.
type executionJSON struct {
	ID          edda.ID                    `json:"command_uuid"`
	Run         int                        `json:"run"`
	Fingerprint []byte                     `json:"fingerprint,omitempty"`
	Spec        string                     `json:"spec"`
	Type        string                     `json:"command_type"`
	EventType   string                     `json:"event_type"`
	Object      string                     `json:"object"`
	List        bool                       `json:"list,omitempty"`
	Data        json.RawMessage            `json:"data"`
	Want        []ledger.Expectation       `json:"want"`
	Correlation string                     `json:"correlation_uuid"`
	Causation   edda.ID                    `json:"causation_uuid,omitzero"`
	Level       int                        `json:"level,omitempty"`
	Metadata    map[string]json.RawMessage `json:"metadata,omitempty"`
	Explain     json.RawMessage            `json:"explain,omitempty"`
	Principal   edda.Principal             `json:"principal"`
	DoNotSave   bool                       `json:"doNotSave,omitempty"`
	NoTx        bool                       `json:"noTransaction,omitempty"`
	TraceParent string                     `json:"traceparent,omitempty"`
	Before      []string                   `json:"chain_before,omitempty"`
	Saga        []string                   `json:"chain_saga,omitempty"`
	After       []string                   `json:"chain_after,omitempty"`
	Calls       map[string]json.RawMessage `json:"calls,omitempty"`
	Found       map[string]json.RawMessage `json:"found,omitempty"`
	Includes    map[string]json.RawMessage `json:"includes,omitempty"`
	CreatedAt   time.Time                  `json:"created_at"`
}

// MarshalJSON writes the execution.
func (x *execution) MarshalJSON() ([]byte, error) {
	c := x.command
	return json.Marshal(&executionJSON{
		ID: c.ID, Run: x.run, Fingerprint: x.fingerprint, Spec: x.spec.Type, Type: c.Type, EventType: c.EventType,
		Object: c.Data.model.name, List: c.Data.list, Data: c.Data.raw, Want: x.want,
		Correlation: c.CorrelationID, Causation: c.CausationID, Level: x.level,
		Metadata: c.Metadata, Explain: c.Explain, Principal: c.Principal, DoNotSave: c.DoNotSave, NoTx: c.NoTransaction,
		TraceParent: c.TraceParent, Before: x.before, Saga: x.saga, After: x.after, Calls: c.Calls, Found: x.found,
		Includes: x.includes, CreatedAt: x.createdAt,
	})
}

// readExecution reads an execution. The error says what this process does not know of it;
// another one may.
func (a *App) readExecution(raw json.RawMessage) (*execution, error) {
	var j executionJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("read the execution of a command: %w", err)
	}
	of, ok := a.table.exact[j.Spec]
	if !ok {
		return nil, fmt.Errorf("no broadcaster has a command %q%s", j.Spec, known(a.table.types()))
	}
	m := of.spec.Model.core()
	if m.name != j.Object {
		return nil, fmt.Errorf("command %s is about a %s here, and about a %s where it began", j.Spec, m.name, j.Object)
	}
	d, err := m.data(j.Data, j.List)
	if err != nil {
		return nil, err
	}
	event, err := readType(j.EventType)
	if err != nil {
		return nil, err
	}
	return &execution{
		command: &Command{
			ID: j.ID, Type: j.Type, EventType: j.EventType, Data: d, CorrelationID: j.Correlation, CausationID: j.Causation,
			Metadata: j.Metadata, Explain: j.Explain, Principal: j.Principal, DoNotSave: j.DoNotSave, NoTransaction: j.NoTx,
			TraceParent: j.TraceParent, Calls: j.Calls,
		},
		of: of, spec: &of.spec, run: j.Run, fingerprint: j.Fingerprint, event: event, want: j.Want, level: j.Level,
		before: j.Before, saga: j.Saga, after: j.After, found: j.Found, includes: j.Includes, createdAt: j.CreatedAt,
	}, nil
}
