// Makes MongoDB a replica set of one, and waits until it takes writes. Safe to repeat.
const members = [{ _id: 0, host: "mongodb:27017" }];
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "weir", members });
}
for (let tries = 0; !db.hello().isWritablePrimary; tries += 1) {
  if (tries === 300) throw new Error("no primary after a minute: see the log of mongodb");
  sleep(200);
}
print("mongodb takes writes");
