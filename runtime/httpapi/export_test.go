package httpapi

import "reflect"

// CheckShape shows the strict scanner to fuzz tests: nil if the body is accepted for t.
func CheckShape(body []byte, t reflect.Type) error {
	if f := checkJSON(body, shapeOf(t, map[reflect.Type]*shape{})); f != nil {
		return f.answer()
	}
	return nil
}

// BodyDecoder gives what turns a body into a request of type t.
func BodyDecoder(t reflect.Type) func(body []byte, req any) error {
	return newBodyReader(t).decode
}

// SetUploadRoom replaces how many bytes of uploads d holds at once.
func SetUploadRoom(d *Door, n int64) { d.uploadRoom = n }
