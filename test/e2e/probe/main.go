// Command probe tells from inside a pod which addresses take a TCP connection.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	for _, address := range os.Args[1:] {
		conn, err := dialer.DialContext(context.Background(), "tcp", address)
		if err != nil {
			fmt.Println(address, "shut")
			continue
		}
		_ = conn.Close()
		fmt.Println(address, "open")
	}
}
