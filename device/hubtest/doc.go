// Package hubtest is an IoT Hub that runs inside a test, or as part of a small
// program: true enough that the official device SDKs over MQTT, unmodified,
// cannot tell.
package hubtest
