"""People who open the app in their cities and find GPs: ``locust -f loadtest/gp_locustfile.py --host URL``.

They do what the people of ``loadtest.locustfile`` do (every frame of every socket is checked here too), and
list, explore, create, join, talk in, and leave GPs, ask for permanence and vote. So that there are enough
GPs and some come to a vote while a load runs, start chatd with::

    CHATD_GP_MIN_ACTIVE_GROUPS=100000 CHATD_GP_MIN_AGE_HOURS=0 CHATD_GP_COOLDOWN_S=0

A refusal that the rules of GPs ask for (full, cooldown, …) is an answer, not a failure.
"""

import random
from typing import Any

from locust import task

from loadtest import locustfile
from loadtest.cities import somewhere

CATEGORIES = {"Vibe GP": ("Fun", "Chill", "Calm"), "Other GP": ("Travel", "Music", "Sports", "Tech Talk")}
TOPICS = ("Life stuff", "Meme talk", "Trip planning", "Day experiences", "Fan theories")
REASONS = ("Feeling bored", "Just for fun", "Want to meet new people")
ME_TOO = 0.85  # how many say yes


class Neighbour(locustfile.Person):
    """Somebody with a telephone, in a city."""

    def on_start(self) -> None:
        super().on_start()
        self.latitude, self.longitude = somewhere(random.Random(self.member.user_id))
        self.seen: list[dict[str, Any]] = []
        self.mine: dict[str, str] = {}
        """The GPs that this user is in, by id, with their chats."""
        self.command("gp.watch", latitude=self.latitude, longitude=self.longitude)
        self.see_mine()

    @task(8)
    def look_around(self) -> None:
        where = f"latitude={self.latitude}&longitude={self.longitude}"
        self.seen = self.asked("GET", f"/api/gp/list?{where}", "/api/gp/list").get("gps", [])

    @task(2)
    def explore(self) -> None:
        page, category = random.randint(1, 3), random.choice(tuple(CATEGORIES))
        path = f"/api/gp/explore?category={category.replace(' ', '%20')}&maxDistance=100&page={page}"
        self.asked("GET", path, "/api/gp/explore")

    @task(6)
    def join(self) -> None:
        open_ones = [gp for gp in self.seen if gp["_id"] not in self.mine]
        if open_ones and len(self.mine) < 3:
            gp = open_ones[0]
            self.took_part(self.asked("POST", "/api/gp/join", body={"gpId": gp["_id"]}))

    @task(2)
    def create(self) -> None:
        category = random.choice(tuple(CATEGORIES))
        path = f"/api/gp/check-limits?category={category.replace(' ', '%20')}"
        if not self.asked("GET", path, "/api/gp/check-limits").get("canCreate"):
            return
        body = {
            "category": category,
            "subType": random.choice(CATEGORIES[category]),
            "talkTopics": random.sample(TOPICS, random.randint(1, 3)),
            "creationReason": random.choice(REASONS),
            "location": {"latitude": self.latitude, "longitude": self.longitude},
        }
        self.took_part(self.asked("POST", "/api/gp/create", body=body))

    @task(10)
    def talk(self) -> None:
        chats = [chat for chat in self.mine.values() if chat in self.device.book.logs]
        if chats:
            words = " ".join(random.choices(locustfile.WORDS, k=random.randint(2, 12)))
            self.send(random.choice(chats), words)

    @task(3)
    def decide(self) -> None:
        if not self.mine:
            return
        gp_id = random.choice(tuple(self.mine))
        path, body = "/api/gp/permanent-convert", {"gpId": gp_id, "action": "check"}
        if self.asked("POST", path, f"{path} check", body).get("status") == "voting":
            vote = "yes" if random.random() < ME_TOO else "no"
            self.asked("POST", path, f"{path} vote", body | {"action": "vote", "vote": vote})

    @task(2)
    def see_mine(self) -> None:
        gps = self.asked("GET", "/api/gp/my-gps").get("gps", [])
        self.mine = {gp["_id"]: gp["chatId"] for gp in gps if gp["status"] == "active"}

    @task(1)
    def leave(self) -> None:
        if self.mine:
            gp_id = random.choice(tuple(self.mine))
            del self.mine[gp_id]
            self.asked("POST", "/api/gp/leave", body={"gpId": gp_id})

    def took_part(self, answer: dict[str, Any]) -> None:
        if gp := answer.get("gp"):
            self.mine[gp["_id"]] = gp["chatId"]

    def asked(self, method: str, path: str, name: str = "", body: Any = None) -> dict[str, Any]:
        """The answer, which may be a refusal in the document's words. Anything else is a failure."""
        headers = {"Authorization": f"Bearer {self.member.token(self.host or '')}"}
        with self.client.request(
            method, path, name=name or path, json=body, headers=headers, catch_response=True
        ) as response:
            try:
                answer: dict[str, Any] = response.json()
                refused = answer.get("success") is False and str(answer.get("code", "")).startswith("gp_")
            except ValueError:
                answer, refused = {}, False
            if refused:
                response.success()
            elif not response.ok:
                response.failure(f"{response.status_code} {answer.get('code')}")
        return answer
