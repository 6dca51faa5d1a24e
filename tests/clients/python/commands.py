"""A discord.py bot with commands, views, selects and modals, as released. It does what node/commands.mjs does.

Given: {"base": "http://host:port", "gateway": "ws://host:port/gateway", "token": "…"}. See script.py for how it is driven.
"""

import asyncio
import io
import logging
import sys
import typing

import discord
import yarl
from discord import app_commands, ui
from discord.gateway import DiscordWebSocket
from discord.http import Route

from script import given, report, serve

Route.BASE = given["base"] + "/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(given["gateway"])
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

# Longer than any step takes on a busy machine, in seconds; a test's own deadline is what usually ends a wait.
STEP = 20


class Bot(discord.Client):
    def __init__(self):
        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = True
        super().__init__(intents=intents)
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self):
        self.served = asyncio.create_task(self.serve())

    async def serve(self):
        await serve({"register": self.register})
        await self.close()

    async def register(self, command):
        guild = discord.Object(int(command["guild"]))
        everywhere = await self.tree.sync()

        @self.tree.command(name="here", description="Only here", guild=guild)
        async def here(interaction: discord.Interaction):
            pass

        (made,) = await self.tree.sync(guild=guild)
        renamed = await made.edit(description="Only in this guild")
        await made.delete()
        return {
            "names": sorted(each.name for each in everywhere),
            "renamed": renamed.description,
            "left": len(await self.tree.fetch_commands(guild=guild)),
        }

    async def on_ready(self):
        report("ready", user=str(self.user.id))

    async def on_error(self, event, *_args):
        report("error", message=f"{event}: {sys.exc_info()[1]!r}")


bot = Bot()
tree = bot.tree


@tree.error
async def on_command_error(_interaction, error):
    report("error", message=repr(error))


def listens(*ids):
    """The library knows of a view or a form only when it has read the answer to what showed it, and drops what comes sooner. A
    person's hand is never so fast; a test is, and waits for this."""
    for id in ids:
        report("listens", id=id)


class View(ui.View):
    def __init__(self):
        super().__init__(timeout=STEP)

    async def on_error(self, _interaction, error, _item):
        report("error", message=repr(error))


class Modal(ui.Modal):
    async def on_error(self, _interaction, error):
        report("error", message=repr(error))


@tree.command(description="Greets someone")
@app_commands.choices(how=[app_commands.Choice(name="Loudly", value="loud")])
async def greet(
    interaction: discord.Interaction,
    whom: discord.Member,
    times: typing.Optional[app_commands.Range[int, 1, 3]] = None,
    how: typing.Optional[str] = None,
):
    report(
        "greeted",
        whom=str(whom.id),
        member=str(whom.id) if isinstance(whom, discord.Member) else None,
        times=times,
        how=how,
        by=str(interaction.user.id),
        channel=str(interaction.channel.id),
        may=interaction.permissions.send_messages,
        app=interaction.app_permissions.view_channel,
    )
    await interaction.response.send_message(f"Hello <@{whom.id}>")
    reply = await interaction.original_response()
    report("replied", id=str(reply.id), content=reply.content, command=str(reply.interaction_metadata.user.id))
    try:
        await interaction.response.send_message("again")
    except discord.InteractionResponded as error:
        report("refused", code=type(error).__name__)
    await interaction.delete_original_response()


find = app_commands.Group(name="find", description="Finds things")
tree.add_command(find)


@find.command(description="A book")
async def book(interaction: discord.Interaction, title: str):
    await interaction.response.send_message(f"found {interaction.command.name} {title}")


@book.autocomplete("title")
async def complete(interaction: discord.Interaction, current: str):
    return [app_commands.Choice(name=f"{current}menghast", value=f"title:{current}")]


class Form(Modal, title="Tell me"):
    name = ui.Label(text="Your name", component=ui.TextInput(custom_id="name"))

    async def on_submit(self, interaction: discord.Interaction):
        await interaction.response.edit_message(content=f"hello {self.name.component.value}", view=None)
        more = await interaction.followup.send("well played", wait=True)
        report("played", **{"message": str(interaction.message.id), "followed": str(more.id), "from": True})


class Game(View):
    @ui.button(label="Next", custom_id="next", style=discord.ButtonStyle.primary)
    async def next(self, interaction: discord.Interaction, _button):
        await interaction.response.edit_message(content="round 2")

    @ui.button(label="Ask", custom_id="ask", style=discord.ButtonStyle.primary)
    async def ask(self, interaction: discord.Interaction, _button):
        await interaction.response.send_modal(Form(custom_id="form"))
        listens("form")

    @ui.select(custom_id="pick", max_values=2, options=[discord.SelectOption(label=c.title(), value=c) for c in ["red", "blue", "green"]])
    async def pick(self, interaction: discord.Interaction, select):
        await interaction.response.defer()
        await interaction.edit_original_response(content=f"picked {' and '.join(select.values)}")


@tree.command(description="Buttons, a menu and a form")
async def game(interaction: discord.Interaction):
    await interaction.response.send_message("round 1", view=Game())
    listens("next", "pick", "ask")


class Report(Modal, title="Report"):
    who = ui.Label(text="Who", component=ui.TextInput(custom_id="who"))
    story = ui.Label(
        text="What happened",
        component=ui.TextInput(custom_id="story", style=discord.TextStyle.paragraph, min_length=5, max_length=200),
    )
    more = ui.Label(text="Anything else", component=ui.TextInput(custom_id="more", required=False))

    async def on_submit(self, interaction: discord.Interaction):
        await interaction.response.defer(ephemeral=True, thinking=True)
        said = [field.component.value for field in [self.who, self.story, self.more]]
        file = lambda name: discord.File(io.BytesIO(name.encode()), name)
        kept = await interaction.edit_original_response(content="|".join(said), attachments=[file("kept.txt")])
        more = await interaction.followup.send("a copy", file=file("copy.txt"), ephemeral=True, wait=True)
        report("noted", files=[each.filename for each in kept.attachments + more.attachments], hidden=more.flags.ephemeral)


class Menus(View):
    async def picked(self, interaction, menu, things):
        report("picked", menu=menu, names=sorted(thing.name for thing in things))
        await interaction.response.edit_message(content=f"{menu} picked")

    @ui.select(cls=ui.UserSelect, custom_id="user")
    async def user(self, interaction: discord.Interaction, select):
        await self.picked(interaction, "user", select.values)

    @ui.select(cls=ui.RoleSelect, custom_id="role")
    async def role(self, interaction: discord.Interaction, select):
        await self.picked(interaction, "role", select.values)

    @ui.select(cls=ui.ChannelSelect, custom_id="channel", channel_types=[discord.ChannelType.text])
    async def channel(self, interaction: discord.Interaction, select):
        await self.picked(interaction, "channel", select.values)

    @ui.select(cls=ui.MentionableSelect, custom_id="both", max_values=2)
    async def both(self, interaction: discord.Interaction, select):
        report("picked", menu="both", names=sorted(thing.name for thing in select.values))
        await interaction.response.send_modal(Report(custom_id="report"))
        listens("report")


@tree.command(description="Menus of people, roles and channels")
async def menus(interaction: discord.Interaction):
    await interaction.response.send_message("choose", view=Menus())
    listens("user", "role", "channel", "both")


@tree.command(description="Takes its time")
async def slow(interaction: discord.Interaction):
    await interaction.response.defer()
    await interaction.edit_original_response(content="done at last")
    more = await interaction.followup.send("and more", wait=True)
    await interaction.followup.edit_message(more.id, content="and even more")
    report("slow", replied=interaction.response.is_done(), followed=str(more.id))


@tree.command(description="Between you and me")
async def secret(interaction: discord.Interaction):
    class Hush(View):
        @ui.button(label="Hush", custom_id="hush", style=discord.ButtonStyle.primary)
        async def hush(self, pressed: discord.Interaction, _button):
            await pressed.response.edit_message(content="hushed", view=None)
            await pressed.followup.send("not a word", ephemeral=True)
            await interaction.delete_original_response()
            report("hushed", ephemeral=message.flags.ephemeral)

    await interaction.response.send_message("psst", ephemeral=True)
    await interaction.edit_original_response(content="psst!", view=Hush())
    message = await interaction.original_response()
    listens("hush")


@tree.command(description="Never answers")
async def silent(_interaction: discord.Interaction):
    pass


@tree.context_menu(name="Wave")
async def wave(interaction: discord.Interaction, user: discord.Member):
    await interaction.response.send_message(f"{interaction.user.name} waves at {user.name}")


@tree.context_menu(name="Quote")
async def quote(interaction: discord.Interaction, message: discord.Message):
    await interaction.response.send_message(f"> {message.content}")


bot.run(given["token"], log_handler=None)
