"""A process of the crowd: threads that do to records and room what hosts and workers do, as fast as they can.

`python crowd.py URL NAME THREADS ROUNDS LEASE_S HAND_BACK`: each round asks for `BURST` slots, and gives each that it
gets back, or has an image accepted and then processed or deleted, a share `HAND_BACK` of them after it was handed back
once. One line on standard output for each promise, right after it was made, and for each round that the database did
not let happen, which is then tried again; at the end `asked N granted N`.
"""

from __future__ import annotations

import random
import secrets
import sys
import threading
import time

from imgpool.scaleout.database import Database
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room
from imgpool.service.records import NewImage, Outcome, StoreError

BURST = 5
AWAY_S = 60.0


class Crowd:
    def __init__(
        self, database: Database, name: str, threads: int, rounds: int, lease_s: float, hand_back: float
    ) -> None:
        self._database = database
        self._room = Room(database, host=name, lease_s=lease_s)
        self._records = PostgresRecords(database, worker=name, lease_s=lease_s)
        self._left = rounds
        self._hand_back = hand_back
        self._lock = threading.Lock()
        self._all_asked = threading.Barrier(threads)
        self.asked = self.granted = 0

    def run(self) -> None:
        dice = random.Random(threading.get_ident())
        self._use(self._ask(), dice, meet=True)
        while True:
            with self._lock:
                if self._left == 0:
                    return
                self._left -= 1
            limit = time.monotonic() + AWAY_S
            while True:
                try:
                    self._use(self._ask(), dice)
                    break
                except StoreError as error:
                    if time.monotonic() > limit:
                        raise
                    self._say("away", str(error))
                    time.sleep(0.05)

    def _ask(self) -> list[str]:
        wanted = [secrets.token_hex(16) for _ in range(BURST)]
        granted = [image_id for image_id in wanted if self._room.reserve(image_id)]
        with self._lock:
            self.asked += len(wanted)
            self.granted += len(granted)
        return granted

    def _use(self, granted: list[str], dice: random.Random, meet: bool = False) -> None:
        if meet:  # once, so that they all hold what they got at the same moment
            self._all_asked.wait(AWAY_S)
        for image_id in granted:
            self._use_one(image_id, dice)

    def _use_one(self, image_id: str, dice: random.Random) -> None:
        records, choice = self._records, dice.random()
        if choice < 0.25:
            self._room.release(image_id)
            return
        records.add(NewImage(image_id, "a.jpg", 1, "jpeg", 1, 1, 1.0))
        self._say("added", image_id)
        if choice < 0.35:
            self._say("deleting", image_id)
            if records.delete(image_id):
                self._say("deleted", image_id)
            return
        if records.begin(image_id, 2.0) is None:
            return
        if dice.random() < self._hand_back:
            records.hand_back(image_id)
            if records.begin(image_id, 3.0) is None:
                return
        if records.finish(image_id, 4.0, Outcome(None if choice < 0.9 else "It is not a picture.", 1.0, 1.0)):
            self._say("finished", image_id)

    def _say(self, *words: str) -> None:
        with self._lock:
            sys.stdout.write(" ".join(words).replace("\n", " ") + "\n")
            sys.stdout.flush()


def main() -> None:
    url, name, threads, rounds, lease_s, hand_back = sys.argv[1:]
    database = Database(url)
    database.open()
    crowd = Crowd(database, name, int(threads), int(rounds), float(lease_s), float(hand_back))
    running = [threading.Thread(target=crowd.run) for _ in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    database.close()
    print(f"asked {crowd.asked} granted {crowd.granted}")


if __name__ == "__main__":
    main()
