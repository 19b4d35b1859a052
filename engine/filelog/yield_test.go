package filelog_test

import "runtime"

func yield() { runtime.Gosched() }
