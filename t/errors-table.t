#!/usr/bin/perl

# docs/errors.md against the sources and the tests: each code is there once with
# its status, and the outcomes are those that tests have seen with it.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

my $top = dirname(__FILE__) . '/..';

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}

my %status = reverse slurp("$top/src/answer/ngx_http_chatmaid_problem.c") =~ /\{ (\d{3}), "(\w+)" \}/g;
cmp_ok(scalar keys %status, '>', 20, 'there are many codes');

my (%page, %outcomes);
for my $section (split /^### /m, slurp("$top/docs/errors.md")) {
    my ($code) = $section =~ /\A`(\w+)`\n/ or next;
    ok(!$page{$code}, "$code is there once");
    my ($status, $outcomes) = $section =~ /\A\S+\n\nStatus (\d{3})(?:, outcome (.+))?\.\n/;
    $page{$code} = $status;
    $outcomes{$code} = join ' ', sort(($outcomes // '') =~ /`(\w+)`/g);
    like($section, qr/\*\*Do:\*\*\s\S/, "$code: says what to do");
}

is_deeply([sort keys %page], [sort keys %status], 'each code is there');
is($page{$_}, $status{$_}, "$_: its status") for sort keys %status;

# As tests write what a sender is told: "503 store_unavailable unknown".
my %seen;
for my $test (glob "$top/t/*.t") {
    my $text = slurp($test);
    $seen{$1}{$2} = 1 while $text =~ /\b[45]\d\d (\w+) (not_sent|unknown)\b/g;
}
is($outcomes{$_}, join(' ', sort keys %{$seen{$_} // {}}), "$_: the outcomes that tests have seen")
    for grep { $_ ne 'internal_error' } sort keys %status;     # no test can bring about each kind

done_testing;
