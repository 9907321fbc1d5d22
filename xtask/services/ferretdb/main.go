// A MongoDB-protocol server for tests, with a plain and a TLS listener: FerretDB on SQLite. It knows no users.
// `cargo xtask services up` builds and runs it where there is no mongod.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	plain := flag.String("plain", "", "`host:port` of the plain listener")
	tls := flag.String("tls", "", "`host:port` of the TLS listener")
	certificate := flag.String("certificate", "", "`file` with the certificate of the TLS listener")
	key := flag.String("key", "", "`file` with its key")
	data := flag.String("data", "", "`folder` of the databases, which exists")
	flag.Parse()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{
			TCP:         *plain,
			TLS:         *tls,
			TLSCertFile: *certificate,
			TLSKeyFile:  *key,
		},
		Handler:   "sqlite",
		SQLiteURL: "file:" + *data + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
