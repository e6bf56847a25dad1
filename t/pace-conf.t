# chatmaid_rate at nginx -t.

use Chatmaid::Test;

my $api = sandbox;

sub check ($text, %more) {
    return nginx_t(gateway => "chatmaid_sender +15550100001; $text", %more);
}

sub fine ($text, %more) {
    my ($code, $out) = check($text, %more);
    is($code, 0, "fine: $text") or diag $out;
}

sub refused ($text, $why, %more) {
    my ($code, $out) = check($text, %more);
    isnt($code, 0, "refused: $text");
    like($out, $why, 'why') or diag $out;
    like($out, qr/chatmaid_rate.* in \S+nginx\.conf:\d+/, 'where');
}


subtest 'rates' => sub {
    fine("chatmaid_rate $_;") for qw(100r/m 5r/s 1r/m 1000000r/s 60000000r/m), '100r/m burst=1', '100r/m burst=1000000',
        '100r/m caller=$http_x_caller', '100r/m caller=$ssl_client_s_dn burst=5', '"100r/m" "caller=a b $arg_c"';
    refused("chatmaid_rate $_;", qr/"chatmaid_rate" needs a rate such as 100r\/m or 5r\/s, at most 1000000r\/s, not "\Q$_\E"/)
        for qw(100 r/m 0r/m -5r/s 1.5r/s 5r/h 5r/ms 5R/S 5r/s5 100r 1000001r/s 60000060r/m 99999999999999999999r/s), 'fast';
    refused("chatmaid_rate 5r/s $_;", qr/"chatmaid_rate": "\Q$_\E" must be from 1 to 1000000/) for qw(burst=0 burst=-1 burst=x burst=1.5 burst=1000001 burst=99999999999999999999);
    refused("chatmaid_rate 5r/s $_;", qr/"chatmaid_rate": invalid parameter "[^"]+", there are "burst=N" and "caller=VALUE", once each/)
        for 'burst', 'burst=', 'caller=', 'callers=x', 'nodelay', 'burst=2 burst=3', 'caller=a caller=b';
    refused('chatmaid_rate;', qr/invalid number of arguments in "chatmaid_rate"/);
    refused('chatmaid_rate 1r/s burst=1 caller=a b;', qr/invalid number of arguments in "chatmaid_rate"/);
    refused('chatmaid_rate 1r/s; chatmaid_rate 1r/s;', qr/"chatmaid_rate" directive is duplicate/);

    my ($code, $out) = check('chatmaid_rate 5r/s caller=$nothing;');
    isnt($code, 0, 'refused: a variable that is none');
    like($out, qr/unknown "nothing" variable/, 'why');
};

subtest 'one rate for an account' => sub {
    my $beside = sub ($text) { (server => "location ^~ /x/ { chatmaid_gateway /.chatmaid/; $text }") };
    fine('chatmaid_rate 5r/s;', $beside->(''));
    fine('chatmaid_rate 5r/s;', $beside->('chatmaid_rate 5r/s caller=x;'));
    fine('chatmaid_rate 60r/m;', $beside->('chatmaid_rate 1r/s;'));
    fine('chatmaid_rate 5r/s;', $beside->('chatmaid_rate 6r/s; chatmaid_account other;'));
    fine('', http => 'chatmaid_rate 5r/s;', $beside->('chatmaid_account other;'));
    refused('chatmaid_rate 5r/s;', qr/"chatmaid_rate": the account "test:" has two rates, "[56]r\/s burst=10" and "[56]r\/s burst=10"/, $beside->('chatmaid_rate 6r/s;'));
    refused('chatmaid_rate 5r/s;', qr/has two rates, .*burst=2/, $beside->('chatmaid_rate 5r/s burst=2;'));
    refused('', qr/has two rates/, http => 'chatmaid_rate 5r/s;', $beside->('chatmaid_rate 6r/s;'));
};

subtest 'a secret in its place is not shown' => sub {
    for my $text (test_key, '5r/s ' . test_key) {
        my ($code, $out) = check("chatmaid_rate $text;");
        isnt($code, 0, 'refused');
        like($out, qr/chatmaid_rate.*takes no key and no secret/, 'why');
    }
};

done;
