package cqrs

// rebuildPrefix begins the names of the rows of edda_positions that rebuilds have.
const rebuildPrefix = "#rebuild/"

// RebuildProgress is how far a rebuild has come.
type RebuildProgress struct {
	Position Position `json:"position,omitzero"`
	Events   int64    `json:"events"`
}

// rebuildOf is the progress of the rebuild of a handler's tables; nil when there is none.
func rebuildOf(h *handler, rows map[string]*positionRow) *RebuildProgress {
	for _, t := range h.tables {
		if r := rows[rebuildPrefix+string(t)]; r != nil {
			return &RebuildProgress{Position: r.Position, Events: r.Events}
		}
	}
	return nil
}
