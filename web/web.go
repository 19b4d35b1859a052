// Package web holds the JavaScript client, which a node serves at /edda.js: one module
// without dependencies, for browsers and Node.js, and its types. docs/javascript.md
// says how to use it, and what it promises.
package web

import "embed"

// Client is the name in Files of the module, and Types that of its TypeScript types.
const (
	Client = "edda.js"
	Types  = "edda.d.ts"
)

// Files holds Client and Types, and nothing else. It is safe for concurrent use.
//
//go:embed edda.js edda.d.ts
var Files embed.FS
