// Package browser plays the pages in a real Chromium without a window, as somebody
// with a phone would: it finds fields and buttons by the names that a screen reader
// says, and uses the pointer and the keyboard. Its tests run the real program.
package browser
