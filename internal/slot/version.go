package slot

import "cmp"

// CompareVersions compares versions as people write them: number by number and
// word by word, so that 1.10 is above 1.9. No version is below any. It is negative when a
// is older than b.
func CompareVersions(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a = versionPart(a)
		y, b = versionPart(b)
		if isDigit(x[0]) && isDigit(y[0]) {
			x, y = trimZeros(x), trimZeros(y)
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	switch { // of 1.0-rc and 1.0 the second is newer, of 1.0.1 and 1.0 the first
	case a == b:
		return 0
	case a == "" && b[0] != '-', a != "" && a[0] == '-':
		return -1
	default:
		return 1
	}
}

// versionPart cuts off a run of digits, or of anything else.
func versionPart(s string) (part, rest string) {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}
