package human

import "strings"

// Nearest returns the name that somebody may have meant; "" when none looks like what was
// given. Capitals make no difference, and the last part of a name with dots will do.
func Nearest(given string, names []string) string {
	given = strings.ToLower(given)
	best, least := "", max(1, min(3, len(given)/3))+1
	for _, name := range names {
		lower := strings.ToLower(name)
		d := distance(given, lower)
		if strings.HasSuffix(lower, "."+given) {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns how many bytes must be changed, left out or put in to make b of a; two
// that are exchanged count as one.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
