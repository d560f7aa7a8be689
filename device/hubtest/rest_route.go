package hubtest

import "net/http"

// restHandler is the hub's REST interface.
func (h *Hub) restHandler() http.Handler {
	return http.NotFoundHandler()
}
