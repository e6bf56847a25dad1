#!/usr/bin/perl

# The Lua scripts of src/store, before Redis sees them: they compile, as a whole
# with record.lua in front, and the C strings made of them say the same.

use strict;
use warnings;

use File::Basename qw(basename);
use File::Temp;
use Mojo::File qw(path);
use Test::More;

my $store   = path(__FILE__)->to_abs->dirname->sibling('src', 'store');
my @scripts = $store->list->grep(qr/\.lua$/)->each;
my $header  = `sh $store/lua_strings.sh @scripts`;
my $record  = $store->child('record.lua')->slurp;

# What Redis gives to a script, besides Lua's own.
my %given = map { $_ => 1 } qw(redis KEYS ARGV);
my %own   = map { $_ => 1 } qw(string math table ipairs unpack tonumber type);

is($?, 0, 'lua_strings.sh succeeds');
cmp_ok(scalar @scripts, '>', 0, 'there are scripts');

for my $script (@scripts) {
    my $name = basename($script, '.lua');
    my $text = $script->slurp;

    my $whole = File::Temp->new;
    print $whole $name eq 'record' ? $record : $record . $text;
    $whole->flush;
    is(`luac5.1 -p $whole 2>&1`, '', "$name: luac has nothing to say");
    unlike(my $code = `luac5.1 -l -l -p $whole`, qr/SETGLOBAL/, "$name: sets no global variable");
    my %read = map { $_ => 1 } $code =~ /GETGLOBAL.*; (\w+)$/mg;
    is(join(' ', grep { !$given{$_} && !$own{$_} } sort keys %read), '', "$name: and reads none that is not there");
    is($text =~ /'\^?2 / ? 'says' : '', $name eq 'record' ? 'says' : '', "$name: who says the version");

    # The C string, as Redis gets it: the script without its comments.
    my ($macro) = $header =~ /^#define NGX_HTTP_CHATMAID_\U$name\E_LUA \\\n((?:    ".*" \\\n)+)/m;
    my $sent = join '', map { s/^    "(.*)" \\$/$1/r } split /\n/, $macro // '';
    $sent =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
    is($sent, join('', map { s/^ +//r } grep { !/^ *(?:--.*)?$/ } split /^/, $text), "$name: goes to Redis as it is");
}

done_testing;
