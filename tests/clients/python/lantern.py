"""A hikari bot, as released, pointed at the server under test; whatever it cannot read the test is told as an `error`.

Given: {"base": "http://host:port", "token": "…"}. See script.py for how it is driven.
"""

import logging
import sys

import hikari

from script import given, report, serve


class Strict(logging.Handler):
    """What hikari cannot read it drops, with a line in its log."""

    def emit(self, record):
        # It says so of every limit of a second that it runs into, and goes on.
        if record.getMessage().startswith("rate limited on the global bucket"):
            return
        report("error", message=self.format(record))


logging.basicConfig(stream=sys.stderr, level=logging.INFO)
strict = Strict(logging.WARNING)
strict.setFormatter(logging.Formatter("%(name)s: %(message)s"))
logging.getLogger().addHandler(strict)
# It guesses the length of a limit from what is left of it, and warns of its own guess at the end of one.
logging.getLogger("hikari.ratelimits").setLevel(logging.ERROR)


def make(intents):
    return hikari.GatewayBot(
        given["token"], rest_url=given["base"] + "/api/v10", intents=intents, banner=None, logs=None, suppress_optimization_warning=True
    )


async def run(bot, handlers):
    """Says that it is ready, and takes commands until there are no more."""
    await bot.start(check_for_updates=False)
    me = bot.get_me()
    report("ready", user=str(me.id), name=me.username)
    await serve({handler.__name__: handler for handler in handlers})
    await bot.close()
