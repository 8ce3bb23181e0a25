// Command probe tells from inside a pod which addresses take a TCP connection.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	for _, address := range os.Args[1:] {
		conn, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			fmt.Println(address, "shut")
			continue
		}
		_ = conn.Close()
		fmt.Println(address, "open")
	}
}
