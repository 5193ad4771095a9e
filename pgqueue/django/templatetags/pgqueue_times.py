"""Times in templates, written as everywhere in the pages of the admin."""

from django import template

from pgqueue.django.admin import show

register = template.Library()
register.filter("moment", show.moment)
register.filter("whole", show.whole)
