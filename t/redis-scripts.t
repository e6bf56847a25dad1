#!/usr/bin/perl

# The Lua scripts of src/store, before Redis sees them: they compile, all of them
# know the same version of the record, and the C strings made of them say the same.

use strict;
use warnings;

use File::Basename qw(basename);
use Mojo::File qw(path);
use Test::More;

my $store   = path(__FILE__)->to_abs->dirname->sibling('src', 'store');
my @scripts = $store->list->grep(qr/\.lua$/)->each;
my $header  = `sh $store/lua_strings.sh @scripts`;
my %versions;

is($?, 0, 'lua_strings.sh succeeds');
cmp_ok(scalar @scripts, '>', 0, 'there are scripts');

for my $script (@scripts) {
    my $name = basename($script, '.lua');
    my $text = $script->slurp;

    is(`luac5.1 -p $script 2>&1`, '', "$name: luac has nothing to say");
    unlike(`luac5.1 -l -p $script`, qr/SETGLOBAL/, "$name: sets no global variable");

    ok(my ($version) = $text =~ /^local VERSION = ('\d+')$/m, "$name: says its version of the record");
    $versions{$version // 'none'}++;

    # The C string, as Redis gets it: the script without its comments.
    my ($macro) = $header =~ /^#define NGX_HTTP_CHATMAID_\U$name\E_LUA \\\n((?:    ".*" \\\n)+)/m;
    my $sent = join '', map { s/^    "(.*)" \\$/$1/r } split /\n/, $macro // '';
    $sent =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
    is($sent, join('', map { s/^ +//r } grep { !/^ *(?:--.*)?$/ } split /^/, $text), "$name: goes to Redis as it is");
}

is(scalar keys %versions, 1, 'all of one version');

done_testing;
