// Package party is the third party of createuser: a service of somebody else's that is
// told over HTTP when a user joins, gives the user a reference, and can be told to take it
// back. It knows a repeated message by its id, as any third party should that is told
// things at least once. It keeps what it knows in memory.
package party

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/edda-io/edda"
)

// Told is a message that was not a repetition.
type Told struct {
	// What is "join" or "redact".
	What string `json:"what"`
	// ID is that of the joining, also when it is taken back.
	ID   string `json:"id"`
	Name string `json:"name"`
	Ref  string `json:"ref"`
}

// Party is the third party. The zero value is ready; it is safe for concurrent use.
//
//	POST /join    {"id","name"}   {"ref"}; 410 when that id was taken back already
//	POST /redact  {"id"}          204
type Party struct {
	// Heard, if it is set, is called with what it is told, before that is answered.
	Heard func(Told)

	mu      sync.Mutex // guards what follows
	joined  map[string]Told
	gone    map[string]bool
	told    []Told
	repeats int
}

// Told returns what it was told, in order.
func (p *Party) Told() []Told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// Members returns the names of those who have joined, and were not taken back.
func (p *Party) Members() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, t := range p.told {
		if t.What == "join" && !p.gone[t.ID] {
			names = append(names, t.Name)
		}
	}
	return names
}

// Repeats returns how many messages were repetitions.
func (p *Party) Repeats() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.repeats
}

// ServeHTTP answers what it is told.
func (p *Party) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ ID, Name string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.ID == "" {
		http.Error(w, `the body must be {"id":"...","name":"..."}`, http.StatusBadRequest)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /join":
		t, first, ok := p.join(in.ID, in.Name)
		p.hear(t, first)
		if !ok {
			http.Error(w, in.ID+" was taken back", http.StatusGone)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(edda.JSON(map[string]string{"ref": t.Ref})) // who does not hear it asks again
	case "POST /redact":
		p.hear(p.redact(in.ID))
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
}

func (p *Party) hear(t Told, first bool) {
	if first && p.Heard != nil {
		p.Heard(t)
	}
}

// join reports whether it is heard for the first time, and whether it may be.
func (p *Party) join(id, name string) (t Told, first, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[id] {
		return Told{}, false, false
	}
	if t, ok = p.joined[id]; ok {
		p.repeats++
		return t, false, true
	}
	if p.joined == nil {
		p.joined = make(map[string]Told)
	}
	t = Told{What: "join", ID: id, Name: name, Ref: fmt.Sprintf("ref-%d", len(p.joined)+1)}
	p.joined[id] = t
	p.told = append(p.told, t)
	return t, true, true
}

// redact takes a joining back, also one that is still on its way and will be refused.
func (p *Party) redact(id string) (t Told, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[id] {
		p.repeats++
		return Told{}, false
	}
	if p.gone == nil {
		p.gone = make(map[string]bool)
	}
	p.gone[id] = true
	t = p.joined[id]
	t.What, t.ID = "redact", id
	p.told = append(p.told, t)
	return t, true
}
