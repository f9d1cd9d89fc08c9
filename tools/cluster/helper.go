// The helpers of a testbed, and what keeps the namespaces of a pod open.
//
//	helper source|sink|echo PORT
//	helper pause
//
// source sends as many zero bytes as the decimal number on the first line that it receives, then closes; sink reads
// to the end; echo sends back what it gets.
package main

import (
	"bufio"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

var zeros [256 << 10]byte

var handlers = map[string]func(net.Conn){"source": source, "sink": sink, "echo": echo}

func source(link net.Conn) {
	line, _ := bufio.NewReader(link).ReadString('\n')
	left, _ := strconv.Atoi(strings.TrimSpace(line))
	for left > 0 {
		part := zeros[:]
		if left < len(part) {
			part = part[:left]
		}
		sent, err := link.Write(part)
		if err != nil {
			return
		}
		left -= sent
	}
}

func sink(link net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		if _, err := link.Read(buffer); err != nil {
			return
		}
	}
}

func echo(link net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		got, err := link.Read(buffer)
		if err != nil {
			return
		}
		if _, err = link.Write(buffer[:got]); err != nil {
			return
		}
	}
}

func serve(handle func(net.Conn), port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	for {
		link, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer link.Close()
			handle(link)
		}()
	}
}

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	if handle, known := handlers[os.Args[1]]; known {
		go serve(handle, os.Args[2])
	} else if os.Args[1] != "pause" {
		log.Fatalf("unknown role: %s", os.Args[1])
	}
	<-ended
}
