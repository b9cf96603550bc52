"""What a core is asked, before it answers anything of its own."""

import pytest
from segue.core import Core
from segue.picture import Container, Picture
from segue.spec import ServiceSpec
from segue.testing.shop import Shop, accepted


def test_a_core_has_to_say_what_it_decides() -> None:
    with pytest.raises(NotImplementedError):
        Core().decide(0.0)


def test_the_facts_of_a_core_depend_on_nothing_unless_it_says_on_what() -> None:
    assert Core().fence() is None


def test_what_nobody_has_heard_of_is_not_in_the_picture() -> None:
    shop = Shop(Core())
    shop.say(accepted(web=ServiceSpec(image="w")))
    asked = shop.ask("web")
    known = shop.container("web")
    nobody = Picture()
    assert shop.picture.container("shop", "web", 1, asked.attempt) is known
    assert shop.picture.container("shop", "web", 1, 7) is None
    assert shop.picture.container("shop", "web", 2, 1) is None
    assert isinstance(known, Container)
    assert (nobody.app_spec(known), nobody.spec(known)) == (None, None)
    assert not nobody.is_gone(known)
