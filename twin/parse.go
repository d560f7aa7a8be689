package twin

import (
	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// parseDocument reads what the hub stores.
func parseDocument(b []byte) (*tree.Node, error) { return parsed(tree.ParseDocument(b)) }

// parseFromHub reads what the hub changes.
func parseFromHub(b []byte) (*tree.Node, error) { return parsed(tree.ParseFromHub(b)) }

// parseFromCaller reads what firmware wants.
func parseFromCaller(b []byte) (*tree.Node, error) { return parsed(tree.ParseFromCaller(b)) }

// parsed turns the parser's error into this package's.
func parsed(n *tree.Node, err error) (*tree.Node, error) {
	if err == nil {
		return n, nil // without the memory that looking through errors takes
	}
	if bad, ok := errs.As[*tree.SyntaxError](err); ok {
		return nil, &SyntaxError{Offset: bad.Offset, Reason: bad.Reason}
	}
	return n, err
}
