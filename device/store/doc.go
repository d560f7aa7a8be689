// Package store keeps state on flash.
package store
