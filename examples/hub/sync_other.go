//go:build !unix

package main

// syncFolder does nothing: folders cannot be synced here.
func syncFolder(string) error { return nil }
