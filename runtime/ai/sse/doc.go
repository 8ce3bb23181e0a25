// Package sse reads server-sent events as the HTML standard defines them, for
// streams of model tokens.
//
// Promise: an event is handed out as soon as its last byte is in, wherever the
// bytes were split and whichever of CR, LF and CRLF ends a line; nothing is copied
// and nothing allocated for an event of one data line. An event over the reader's
// limit is refused, so a hostile upstream can't fill the memory. Fields other than
// event and data are ignored: nobody reconnects here.
package sse
