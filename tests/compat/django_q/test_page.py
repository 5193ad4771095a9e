"""What the page about moving must say."""

from tests.helpers import ROOT


def test_every_key_of_the_setting_is_on_the_page() -> None:
    from pgqueue.compat.django_q.keys import KEYS

    text = (ROOT / "docs/howto/from-django-q.md").read_text(encoding="utf-8")
    settings = text.partition("## Settings")[2]
    assert [name for name in KEYS if f"`{name}`" not in settings] == []
    for name, key in KEYS.items():
        assert (f"| `{name}` |" in settings) == bool(key.does), name
        assert not key.does or f"| {key.does} |" in settings, name
