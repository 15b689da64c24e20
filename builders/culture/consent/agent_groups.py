"""Read the groups of robots.txt (RFC 9309, section 2.1) and of files that have its form."""

from collections.abc import Iterator

USER_AGENT = "user-agent"
_AGENT_NAMES = (USER_AGENT, "useragent", "user agent")


def agent_lines(text: str, content: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the lines of a file that say something, with the user agents that each is for.

    Args:
        text: The file.
        content: The names of lines, lower-case, that belong to a group and so end its list of user
            agents. Lines with other names are left out.

    Yields:
        Names of user agents (lower-case; "*": every other; lines before the first name are for
        these), the name of the line, its value. A line that names a user agent is one too.
    """
    agents: tuple[str, ...] = ("*",)
    naming = False
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        name = name.lower()
        if colon and name in _AGENT_NAMES:
            agents = (*(agents if naming else ()), value.lower() or "*")
            naming = True
            yield agents[-1:], USER_AGENT, value
        elif colon and name in content:
            naming = False
            yield agents, name, value
