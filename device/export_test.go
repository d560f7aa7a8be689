package device

// WaitingGets counts the GetTwin calls that wait for a request.
func (c *Client) WaitingGets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.gets)
}
