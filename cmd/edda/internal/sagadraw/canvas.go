package sagadraw

import (
	"strings"
	"unicode"
)

// style is how text is shown on a terminal with colours.
type style string

const (
	plainText style = ""
	bold      style = "1"
	dim       style = "2"
	red       style = "31"
	green     style = "32"
	yellow    style = "33"
	cyan      style = "36"
)

func (s style) paint(text string, colour bool) string {
	if !colour || s == plainText || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one column of a line. The second one of a wide rune has taken set.
type cell struct {
	r     rune
	style style
	taken bool
}

// canvas is a drawing that grows to the right and down.
type canvas struct {
	rows [][]cell
}

func (c *canvas) set(x, y int, r rune, s style) {
	for len(c.rows) <= y {
		c.rows = append(c.rows, nil)
	}
	for len(c.rows[y]) <= x {
		c.rows[y] = append(c.rows[y], cell{r: ' '})
	}
	c.rows[y][x] = cell{r: r, style: s}
}

// write puts text on the canvas and returns the column after it.
func (c *canvas) write(x, y int, text string, s style) int {
	for _, r := range text {
		n := columns(r)
		if n == 0 {
			continue
		}
		c.set(x, y, r, s)
		if n == 2 {
			c.set(x+1, y, ' ', s)
			c.rows[y][x+1].taken = true
		}
		x += n
	}
	return x
}

// render returns the lines without spaces at their ends.
func (c *canvas) render(colour bool) string {
	var b strings.Builder
	for _, row := range c.rows {
		end := len(row)
		for end > 0 && row[end-1].r == ' ' && !row[end-1].taken {
			end--
		}
		for i := 0; i < end; {
			var run strings.Builder
			s := row[i].style
			for ; i < end && row[i].style == s; i++ {
				if !row[i].taken {
					run.WriteRune(row[i].r)
				}
			}
			b.WriteString(s.paint(run.String(), colour))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wide are the scripts and symbols whose runes take two columns.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115F, Stride: 1}, {Lo: 0x2E80, Hi: 0xA4CF, Stride: 1}, {Lo: 0xAC00, Hi: 0xD7A3, Stride: 1},
		{Lo: 0xF900, Hi: 0xFAFF, Stride: 1}, {Lo: 0xFE30, Hi: 0xFE6F, Stride: 1}, {Lo: 0xFF00, Hi: 0xFF60, Stride: 1},
		{Lo: 0xFFE0, Hi: 0xFFE6, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1F300, Hi: 0x1F64F, Stride: 1}, {Lo: 0x1F680, Hi: 0x1F9FF, Stride: 1}, {Lo: 0x20000, Hi: 0x3FFFD, Stride: 1}},
}

// columns returns how many columns a rune takes.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	default:
		return 1
	}
}

// widthOf returns how many columns a text takes.
func widthOf(text string) int {
	n := 0
	for _, r := range text {
		n += columns(r)
	}
	return n
}

// clip shortens text to so many columns.
func clip(text string, most int) string {
	if widthOf(text) <= most {
		return text
	}
	n := 0
	for i, r := range text {
		if n += columns(r); n > most-1 {
			return strings.TrimRight(text[:i], " ") + "…"
		}
	}
	return text
}

// wrap breaks a text at spaces into a few lines, the last of which may lack the rest;
// none for "".
func wrap(text string, most, lines int) []string {
	var out []string
	for widthOf(text) > most && len(out) < lines-1 {
		at, n := 0, 0
		for i, r := range text {
			if r == ' ' {
				at = i
			}
			if n += columns(r); n > most {
				break
			}
		}
		if at == 0 {
			break // one long word
		}
		out = append(out, text[:at])
		text = text[at+1:]
	}
	if text != "" {
		out = append(out, clip(text, most))
	}
	return out
}

// pad fills text up to so many columns.
func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(0, n-widthOf(text)))
}
