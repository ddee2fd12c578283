// What outlives a reload: records in IndexedDB, each under a name (the journey, visits,
// a recovery that was cut off, checkpoints). A private key in them is one that nobody
// can read, this page included. Where there is no IndexedDB (a private window of some
// browsers) they last as long as the page.

const name = "logline-onboarding";

let database; // promise of the open database, or of null

function opened() {
  database ??= new Promise((resolve) => {
    try {
      const asked = indexedDB.open(name, 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
  return database;
}

async function run(mode, act) {
  const db = await opened();
  if (db === null) return undefined;
  return new Promise((resolve, reject) => {
    const tx = db.transaction("kept", mode, { durability: "strict" });
    const asked = act(tx.objectStore("kept"));
    tx.oncomplete = () => resolve(asked.result);
    tx.onerror = tx.onabort = () => reject(tx.error);
  });
}

// kept are the names of all that is kept.
export const kept = async () => (await run("readonly", (store) => store.getAllKeys())) ?? [];
export const load = (key) => run("readonly", (store) => store.get(key));
export const keep = (key, value) => run("readwrite", (store) => store.put(value, key));
export const forget = (key) => run("readwrite", (store) => store.delete(key));
