package pattern

// Nodes returns how many nodes a set has had at a time.
func Nodes(s *Set) int { return s.nodes }
