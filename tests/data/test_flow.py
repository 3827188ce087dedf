"""A template is taken apart only if no content can change what it writes around the contents."""

import jinja2
import pytest

from autotrain.data.flow import only_writes_contents

LOOP = "{% for m in messages %}BODY{% endfor %}"
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def verdict(source):
    return only_writes_contents(jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source))


@pytest.mark.parametrize(
    "source",
    [
        SMOLLM2,
        "{{ messages[0].content }}",
        LOOP.replace("BODY", "{{ m.content | trim }}"),
        LOOP.replace("BODY", "{% if m.content is string %}{{ m['content'] }}{% endif %}"),
        LOOP.replace("BODY", "{% set said = m.role ~ m.content %}{{ said }}"),
        LOOP.replace("BODY", "{% if m.name is defined %}{{ m.name | upper }}{% endif %}"),
        "{% set rest = messages[1:] %}{% for m in rest if m.role != 'tool' %}{{ m.content }}{% endfor %}",
        "{% set ns = namespace(last=-1) %}{% for m in messages %}{% set ns.last = loop.index0 %}{% endfor %}{{ ns.last }}",
        "{{ messages | length }}{{ (messages | last).role }}{{ messages[-1].content if tools else '' }}",
    ],
)
def test_writing_is_proven(source):
    assert verdict(source)


@pytest.mark.parametrize(
    "source",
    [
        LOOP.replace("BODY", "{% if m.content %}x{% endif %}"),
        LOOP.replace("BODY", "{% if 'x' in m.content %}x{% endif %}"),
        LOOP.replace("BODY", "{{ m.content.split('x')[0] }}"),
        LOOP.replace("BODY", "{{ m.content | length }}"),
        LOOP.replace("BODY", "{{ m.content[0] }}"),
        LOOP.replace("BODY", "{{ (m.role + m.content) | trim }}"),
        LOOP.replace("BODY", "{{ m }}"),
        LOOP.replace("BODY", "{{ m | tojson }}"),
        LOOP.replace("BODY", "{{ m.get('content') }}"),
        LOOP.replace("BODY", "{{ m[m.role] }}"),
        LOOP.replace("BODY", "{% for key in m %}{{ m[key] }}{% endfor %}"),
        LOOP.replace("BODY", "{% for letter in m.content %}x{% endfor %}"),
        LOOP.replace("BODY", "{{ loop.previtem.content | length }}"),
        LOOP.replace("BODY", "{% set ns.said = m.content %}"),
        LOOP.replace("BODY", "{% set x = m.content %}{% if x == 'a' %}{% endif %}"),
        LOOP.replace("BODY", "{% if x == 'a' %}{% endif %}{% set x = m.content %}"),
        LOOP.replace("BODY", "{% if messages[loop.index0 - 1].content == 'a' %}{% endif %}"),
        LOOP.replace("BODY", "{{ raise_exception(m.content) }}"),
        "{{ messages }}",
        "{{ messages | map(attribute='content') | join }}",
        "{% if messages == [] %}{% endif %}",
        "{% macro say(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
        "{% set x %}{{ messages[0].content }}{% endset %}{{ x | length }}",
        "{% for m in messages | sort(attribute='content') %}{{ m.role }}{% endfor %}",
        "{{ range(9) | random }}",
    ],
)
def test_looking_is_not(source):
    assert not verdict(source)
