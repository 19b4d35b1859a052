package edda

import "cmp"

// WithDefaults returns the spec with the defaults of what is not set, but for the
// fields of the retry policy.
func (g GroupSpec) WithDefaults() GroupSpec {
	g.Namespace, g.From = cmp.Or(g.Namespace, DefaultNamespace), cmp.Or(g.From, FromEnd)
	g.MinMembers = cmp.Or(g.MinMembers, 1)
	g.ProcessingTimeout = cmp.Or(g.ProcessingTimeout, DefaultProcessingTimeout)
	g.IdleTimeout = cmp.Or(g.IdleTimeout, DefaultIdleTimeout)
	return g
}

// Validate names the first field that makes no sense: BadName for names, BadValue
// for the rest.
func (g *GroupSpec) Validate() error {
	if err := (&GroupRef{g.Namespace, g.Stream, g.Name}).Validate(); err != nil {
		return err
	}
	if g.From != "" {
		if _, err := g.From.Parse(); err != nil {
			return err
		}
	}
	switch least := max(g.MinMembers, 1); {
	case g.MinMembers < 0 || g.MinMembers > MaxMembers:
		return badGroup("minMembers is %d, must be 1 to %d, or 0 for 1", g.MinMembers, MaxMembers)
	case g.MaxMembers < 0 || g.MaxMembers > MaxMembers:
		return badGroup("maxMembers is %d, must be 1 to %d, or 0 for no limit", g.MaxMembers, MaxMembers)
	case g.MaxMembers != 0 && g.MaxMembers < least:
		return badGroup("maxMembers is %d, must not be less than minMembers, which is %d", g.MaxMembers, least)
	}
	if err := checkDuration("group", "processingTimeout", g.ProcessingTimeout, longest); err != nil {
		return err
	}
	if err := checkDuration("group", "idleTimeout", g.IdleTimeout, longest); err != nil {
		return err
	}
	return g.Retry.Validate()
}

func badGroup(format string, args ...any) error { return badOf("group", BadValue, format, args...) }

// WithDefaults returns the reference with its namespace.
func (g GroupRef) WithDefaults() GroupRef {
	g.Namespace = cmp.Or(g.Namespace, DefaultNamespace)
	return g
}

// Validate checks the names; the error's reason is BadName.
func (g *GroupRef) Validate() error {
	if err := checkPlace(g.Namespace, g.Stream); err != nil {
		return err
	}
	return CheckName("group", g.Group)
}

// String returns STREAM/GROUP, with the namespace and a colon before it unless it is
// the default one.
func (g GroupRef) String() string {
	return Address{Namespace: g.Namespace, Name: g.Stream, Key: g.Group}.String()
}

// WithDefaults returns the read with the defaults of what is not set.
func (r GroupRead) WithDefaults() GroupRead {
	r.GroupRef, r.Max = r.GroupRef.WithDefaults(), cmp.Or(r.Max, DefaultReadLimit)
	return r
}

// Validate names the first field that makes no sense: BadName for names, BadValue
// for the rest.
func (r *GroupRead) Validate() error {
	if err := r.GroupRef.Validate(); err != nil {
		return err
	}
	if err := CheckName("member", r.Member); err != nil {
		return err
	}
	switch {
	case r.Max < 0 || r.Max > MaxGroupRead:
		return badOf("read", BadValue, "max is %d, must be 1 to %d, or 0 for %d", r.Max, MaxGroupRead, DefaultReadLimit)
	case r.Wait < 0:
		return badOf("read", BadValue, "wait is %s, must not be negative", r.Wait)
	}
	return nil
}

// WithDefaults returns s with its namespace.
func (s Settle) WithDefaults() Settle {
	s.GroupRef = s.GroupRef.WithDefaults()
	return s
}

// Validate names the first field that makes no sense: BadName for names, BadValue
// for the rest. What a lease looks like is for whoever gave it to check.
func (s *Settle) Validate() error {
	if err := s.GroupRef.Validate(); err != nil {
		return err
	}
	switch {
	case len(s.Leases) == 0:
		return badOf("leases", BadValue, "no leases are named, must be at least one")
	case len(s.Leases) > MaxLeases:
		return badOf("leases", BadValue, "%d leases are named, at most %d are allowed at a time", len(s.Leases), MaxLeases)
	}
	for i, l := range s.Leases {
		if l == "" || len(l) > MaxLeaseBytes {
			return badOf("leases", BadValue, "leases[%d] has %d bytes, must have 1 to %d", i, len(l), MaxLeaseBytes)
		}
	}
	return checkDuration("leases", "for", s.For, longest)
}
